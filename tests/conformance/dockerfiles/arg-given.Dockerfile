FROM busybox
ARG who=world other
RUN echo "$who ${other:-none}" > /who
# steps: not compared (this BuildKit shows the default of an ARG, a newer one the value)
# flags: --build-arg who=you --build-arg other=me
