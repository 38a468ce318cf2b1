FROM busybox
RUN echo "home $HOME" > /one && echo 'raw $HOME' > /two
