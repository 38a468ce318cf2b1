FROM busybox
RUN mkdir /data && echo before > /data/file
VOLUME /data
RUN echo after > /data/file && touch /data/new
