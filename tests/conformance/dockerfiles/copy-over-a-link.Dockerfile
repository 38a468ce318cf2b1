FROM busybox
RUN echo target > /target && ln -s /target /l && ln -s nowhere /dangling
COPY a.txt /l
COPY b.txt /dangling
