FROM busybox
ENTRYPOINT ["a"]
CMD ["b"]
ENTRYPOINT []
