ARG BASE=busybox
ARG TAG=latest
ARG X=outer
FROM ${BASE}:${TAG} AS one
RUN echo "[$X]" > /x1
ARG X
RUN echo "[$X]" > /x2
ARG X=inner
RUN echo "[$X]" > /x3
# steps: not compared (this BuildKit shows the default of an ARG, a newer one the value)
