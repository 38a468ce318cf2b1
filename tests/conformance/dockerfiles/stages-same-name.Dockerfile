FROM busybox AS Build
RUN touch /first
FROM busybox AS last
COPY --from=BUILD /first /
