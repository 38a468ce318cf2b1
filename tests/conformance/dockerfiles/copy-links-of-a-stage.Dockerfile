FROM busybox AS a
RUN ln -s /bin/busybox /l && ln -s /l /m && mkdir -p /p/q && ln -s /p /pp && ln -s ../x /p/q/r
FROM scratch
COPY --from=a /m /1
COPY --from=a /pp/q /2/
COPY --from=a /pp /3/
