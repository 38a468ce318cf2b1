FROM busybox
COPY --chmod=0640 a.txt /a
COPY --chmod=0700 tree /tree
COPY --chmod=755 tree/sub /tree/sub
# steps: not compared (this BuildKit leaves flags out)
