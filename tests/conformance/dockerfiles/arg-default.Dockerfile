FROM busybox
ARG who=world
ARG greeting="hello $who"
RUN echo $greeting > /greeting
ENV GREETING=$greeting
