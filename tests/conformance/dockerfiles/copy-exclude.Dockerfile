FROM busybox
COPY --exclude=*.c --exclude=sub/deep tree /tree
COPY --exclude=b* *.txt /txt/
