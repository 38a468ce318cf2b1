FROM busybox AS one
ENV STAGE=one
RUN touch /one
FROM one AS two
ENV STAGE=two
RUN exit 1
# flags: --target one
