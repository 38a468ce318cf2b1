FROM busybox AS base
CMD ["base"]
FROM base
CMD ["own"]
ENTRYPOINT ["mine"]
