FROM busybox AS broken
RUN exit 1
FROM busybox AS fine
RUN touch /fine
FROM fine
