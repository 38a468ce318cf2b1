FROM busybox AS first
RUN echo 1 > /1
FROM first AS second
RUN echo 2 > /2
FROM second
RUN rm /1
COPY --from=first /1 /again
