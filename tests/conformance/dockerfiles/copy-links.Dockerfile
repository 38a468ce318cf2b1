FROM busybox
COPY links /links
COPY links/to-file /copied
COPY links/to-dir /copied-dir
COPY links/to-dir/ /copied-dir-slash
