FROM busybox
RUN mkdir -p /d/sub && echo old > /d/x.c && echo keep > /d/sub/keep && chmod 700 /d/sub && chown 7:8 /d
COPY tree /d
COPY a.txt /d/x.c
