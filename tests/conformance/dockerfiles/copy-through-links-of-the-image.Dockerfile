FROM busybox
RUN mkdir -p /real/deep && ln -s real /link && ln -s /real/deep /abs && ln -s ../../../../.. /real/up
COPY a.txt /link/
COPY a.txt /abs/b
COPY tree /link/tree
COPY a.txt /real/up/escaped
