FROM busybox
RUN awk 'BEGIN { print "from awk" > "/awk" }'
