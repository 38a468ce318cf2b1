FROM busybox
COPY a.txt /d/
RUN mkdir /new && chown 5:5 /new
COPY --chown=5:5 tree /new/tree
