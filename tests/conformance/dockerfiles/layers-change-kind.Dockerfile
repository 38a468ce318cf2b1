FROM busybox
RUN mkdir /a && touch /a/x && touch /b && ln -s b /c
RUN rm -r /a && touch /a && rm /b && mkdir /b && rm /c && mkdir -p /c/d
