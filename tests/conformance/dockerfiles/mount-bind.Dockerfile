FROM busybox
RUN mkdir /ctx /m
RUN --mount=target=/ctx ls /ctx/tree > /ls && cp /ctx/a.txt /copied && ! touch /ctx/x 2>/dev/null
RUN --mount=type=bind,source=tree/sub,target=/m,rw touch /m/thrown-away && ls /m > /ls2
