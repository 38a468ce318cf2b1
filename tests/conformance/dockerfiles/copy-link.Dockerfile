FROM busybox
RUN mkdir -m 0700 /d
COPY --link a.txt /d/
COPY --link --chown=5:5 tree /new/tree
