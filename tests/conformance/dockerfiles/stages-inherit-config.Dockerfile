FROM busybox AS base
ENV A=1
USER 5
WORKDIR /w
LABEL l=1
SHELL ["/bin/sh", "-xc"]
EXPOSE 1
FROM base
ENV B=$A
LABEL m=2
CMD x
