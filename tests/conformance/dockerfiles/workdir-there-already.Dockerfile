FROM busybox
RUN mkdir -m 0700 /w && chown 5:6 /w
WORKDIR /w
WORKDIR /w/x
