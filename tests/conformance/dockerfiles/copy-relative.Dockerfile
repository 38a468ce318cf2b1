FROM busybox
WORKDIR /w
COPY a.txt .
COPY a.txt ./b
COPY tree tree
COPY a.txt ../c
