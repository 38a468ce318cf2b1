FROM busybox
ARG TARGETPLATFORM
ARG TARGETOS
ARG TARGETARCH
RUN echo $TARGETPLATFORM $TARGETOS $TARGETARCH > /platform
# steps: not compared (this BuildKit shows the default of an ARG, a newer one the value)
