FROM busybox
CMD ["echo", "\u00e9\t\"x\""] trailing words
