FROM busybox
SHELL ["/bin/sh", "-ec"]
RUN false || true; echo $0 > /zero
SHELL ["/bin/echo", "-n"]
RUN never run by a shell
CMD neither this
