FROM busybox
COPY ["with space.txt", "/with space/"]
COPY ["a.txt", "b.txt", "/two files/"]
