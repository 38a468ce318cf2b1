FROM busybox AS build
RUN mkdir -p /a/b && echo x > /a/b/file && ln -s b /a/rel && ln -s /a/b /a/abs && ln -s file /a/b/l
FROM busybox
COPY --from=build /a/rel/file /1
COPY --from=build /a/abs /2
COPY --from=build /a/b/l /3
COPY --from=build /a/ /4/
