FROM scratch
COPY --from=busybox /bin/busybox /bin/sh
COPY --from=busybox:latest /etc /etc
