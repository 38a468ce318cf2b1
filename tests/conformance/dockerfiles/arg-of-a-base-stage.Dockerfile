FROM busybox AS base
ARG seen=yes
FROM base
RUN echo "[$seen]" > /seen
# steps: not compared (this BuildKit shows the default of an ARG, a newer one the value)
