FROM busybox
RUN mkfifo /fifo && mknod /null c 1 3 && ln -s /x /dangling && touch /one && ln /one /two && chmod 6755 /one
