FROM busybox
RUN mkdir /real && ln -s /real /link
WORKDIR /link/inside
RUN touch file
