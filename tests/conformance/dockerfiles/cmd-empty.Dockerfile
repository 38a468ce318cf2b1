FROM busybox
CMD ["x"]
CMD []
