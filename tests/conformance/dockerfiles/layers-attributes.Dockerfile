FROM busybox
RUN touch /f && mkdir /d && echo x > /d/x
RUN chmod 0600 /f && chown 1:2 /d && chmod 1777 /d
RUN mv /d /e
