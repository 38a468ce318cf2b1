FROM busybox
ENV PLACE=here
ARG VERSION=3
WORKDIR /work
RUN env | grep -v -e HOSTNAME -e SHLVL -e container | sort > /env.txt; umask > /umask.txt; id > /id.txt
# judge: classic
