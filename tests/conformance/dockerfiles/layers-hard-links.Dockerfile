FROM busybox
RUN echo 1 > /a && ln /a /b && mkdir /d && ln /a /d/c
RUN echo 2 >> /a
RUN rm /b && mv /d /e
