FROM busybox
COPY --chmod=0640 a.txt /a
COPY --chmod=755 tree /tree
# steps: not compared (this BuildKit leaves flags out)
