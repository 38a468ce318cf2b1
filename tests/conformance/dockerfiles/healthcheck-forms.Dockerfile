FROM busybox
HEALTHCHECK --interval=5m --timeout=3s --start-period=1s500ms --retries=7 CMD wget -q localhost || exit 1
# steps: not compared (this BuildKit knows no start interval)
