FROM busybox
RUN mkdir /r && ln -s /r/file /lf && ln -s r /ld && ln -s ../../../../etc /e
COPY a.txt /lf
COPY a.txt /ld
COPY tree /ld
COPY tree/sub /ld/
COPY a.txt /e/
