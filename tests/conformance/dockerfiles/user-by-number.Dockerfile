FROM busybox
USER 1000:2000
RUN id > /tmp/id.txt; touch /tmp/mine
# judge: classic
