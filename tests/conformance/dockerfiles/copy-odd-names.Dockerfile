FROM busybox
COPY odd /odd
COPY ["odd/ünï", "odd/-dash", "/o/"]
COPY odd/[[]x] /o/
