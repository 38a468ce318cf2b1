FROM busybox
RUN touch /a && \
  touch /b
ENV x=y
COPY a.txt /c
