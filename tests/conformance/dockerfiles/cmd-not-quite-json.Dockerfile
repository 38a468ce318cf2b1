FROM busybox
CMD ['echo', 'single quotes']
