FROM busybox
COPY --chown=12:34 tree /tree
COPY --chown=56 a.txt /made/a
# steps: not compared (this BuildKit leaves flags out)
