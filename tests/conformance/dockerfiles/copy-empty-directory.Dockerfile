FROM busybox
COPY empty /empty
COPY empty/ /other/empty/
