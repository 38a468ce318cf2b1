FROM scratch
COPY a.txt /a
ENV A=1
CMD ["/a"]
LABEL only=config
