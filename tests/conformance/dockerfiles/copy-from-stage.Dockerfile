FROM busybox AS build
RUN mkdir -p /out/bin && echo program > /out/bin/p && chmod 4711 /out/bin/p && ln -s p /out/bin/q && chown -R 3:4 /out
FROM scratch
COPY --from=build /out /
COPY --from=build --chown=9:9 /out/bin/p /mine
# steps: not compared (this BuildKit leaves flags out)
