FROM busybox
RUN mkdir -m 0777 /home
USER 1000
WORKDIR /home/new/dir
RUN stat -c "%a %u %g %n" /home /home/new . > /tmp/stat.txt
