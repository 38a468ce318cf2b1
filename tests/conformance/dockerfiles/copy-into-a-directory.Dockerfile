FROM busybox
RUN mkdir /d
COPY a.txt /d
COPY b.txt /d/.
COPY odd/.h* /d
