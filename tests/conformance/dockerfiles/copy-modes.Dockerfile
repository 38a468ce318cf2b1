FROM busybox
COPY modes /modes
COPY modes/setuid modes/secret /m/
