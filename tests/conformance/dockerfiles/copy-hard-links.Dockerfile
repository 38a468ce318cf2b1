FROM busybox
COPY hard /hard
RUN ln /hard/one /hard/three
