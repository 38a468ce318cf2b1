FROM busybox
ENV who=world
RUN echo 'hello world, "quoted" $who' > /hello
RUN mkdir /several && echo 'raw $who' > /several/A && echo indented > /several/B && echo twice >> /several/B
COPY a.txt /several/
RUN chmod 0750 /several/* && chown -R 5:6 /several
RUN touch /nothing
