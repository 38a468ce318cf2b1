FROM busybox AS one
RUN mkdir /d && echo data > /d/f
FROM busybox
RUN mkdir -p /mnt/d && touch /single
RUN --mount=from=one,source=/d,target=/mnt/d cat /mnt/d/f > /got
RUN --mount=type=bind,from=one,src=/d/f,dst=/single cat /single > /got2
