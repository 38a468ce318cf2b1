FROM busybox
RUN echo hello > /hello && mkdir -p /d/e && touch /d/e/f
