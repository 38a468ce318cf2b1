FROM busybox
RUN ["/bin/sh", "-c", "echo $HOME > /home.txt; pwd >> /home.txt"]
RUN ["mkdir", "/a b", "/$HOME"]
