FROM busybox
COPY a.txt /new-name
COPY a.txt /etc/
COPY a.txt /made/on/the/way/
COPY a.txt /made/file
