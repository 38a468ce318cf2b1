# a comment first

# escape=`
FROM busybox
ENV a=one\ two
