FROM busybox
COPY --parents tree/sub/y.c a.txt /p/
COPY --parents tree/./sub/deep /q/
