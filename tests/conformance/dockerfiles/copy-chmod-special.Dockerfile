FROM busybox
COPY --chmod=4755 a.txt /setuid
COPY --chmod=2750 a.txt /setgid
# judge: buildah
