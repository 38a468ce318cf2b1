FROM busybox
COPY a.txt b.txt tree /several/
