FROM busybox
RUN mkdir -p /d/a/b && touch /d/a/b/c && mkdir -p /o/p && touch /o/p/q
RUN rm -rf /d && mkdir -p /d/a && touch /d/a/x && mv /o /moved && mkdir /o
RUN rm -rf /d/a/x && mkdir /d/a/x && chown -R 5:5 /moved
