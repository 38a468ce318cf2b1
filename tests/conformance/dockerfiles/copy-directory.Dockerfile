FROM busybox
COPY tree /one
COPY tree /two/
COPY tree/ /three
COPY tree/sub /four/five
