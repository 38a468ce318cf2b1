FROM busybox
COPY passwd group /etc/
COPY --chown=alice:wheel a.txt /1
COPY --chown=alice a.txt /2
COPY --chown=:wheel a.txt /3
COPY --chown=1000:wheel tree /4
ENV who=alice
COPY --chown=$who a.txt /5
# steps: not compared (this BuildKit leaves flags out)
