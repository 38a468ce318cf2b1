FROM busybox
ARG v=arg
ENV v=env
ARG v=again
RUN echo $v > /v
LABEL v=$v
# steps: not compared (this BuildKit shows the default of an ARG, a newer one the value)
# flags: --build-arg v=given
