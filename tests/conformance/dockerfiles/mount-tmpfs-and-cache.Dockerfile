FROM busybox
RUN mkdir -p /t /root/.cache /c
RUN --mount=type=tmpfs,target=/t echo gone > /t/x
RUN --mount=type=cache,target=/root/.cache,id=minidock-corpus echo cached > /root/.cache/x
RUN --mount=type=cache,target=/c,id=minidock-corpus,ro cat /c/x > /from-cache
