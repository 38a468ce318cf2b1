FROM busybox
RUN echo "[$HTTP_PROXY] [$http_proxy]" > /proxy
# flags: --build-arg HTTP_PROXY=http://proxy.example:3128
