FROM busybox
COPY a.txt /p/
COPY tree/sub/y.c /p/tree/sub/
COPY tree/sub/deep /q/sub/deep
