FROM busybox
RUN mkdir -p /dst/dir && ln -s /etc /dst/link && echo old > /dst/file
ADD archive.tar /dst
