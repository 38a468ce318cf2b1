FROM busybox
COPY archive.tar.gz /x/
