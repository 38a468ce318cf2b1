FROM busybox
COPY capable /capable
COPY --chown=5:5 capable /chowned
# judge: buildah
