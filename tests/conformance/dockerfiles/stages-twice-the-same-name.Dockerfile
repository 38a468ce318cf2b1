FROM busybox AS a
RUN touch /1
FROM busybox AS A
RUN touch /2
FROM busybox
COPY --from=a / /r
