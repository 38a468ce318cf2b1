FROM busybox
HEALTHCHECK CMD ["true", "x y"]
# steps: not compared (this BuildKit knows no start interval)
