FROM busybox
COPY tree /tree
RUN rm -r /tree/*.c /tree/sub/deep
COPY *.txt /txt/
RUN rm /txt/b*
