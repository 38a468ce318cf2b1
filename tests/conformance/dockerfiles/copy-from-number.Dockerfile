FROM busybox
RUN echo zero > /zero
FROM busybox
RUN echo one > /one
FROM scratch
COPY --from=0 /zero /
COPY --from=1 one /
