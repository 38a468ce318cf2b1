FROM busybox
HEALTHCHECK CMD true
HEALTHCHECK NONE
# steps: not compared (this BuildKit knows no start interval)
