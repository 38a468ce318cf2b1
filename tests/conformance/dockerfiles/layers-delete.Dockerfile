FROM busybox
RUN mkdir -p /d/e && touch /d/a /d/e/b /gone
RUN rm /gone /d/a && rm -r /d/e
RUN rm -r /d && mkdir /d && touch /d/new
