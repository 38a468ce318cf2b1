FROM busybox
COPY . /all
# judge: classic
# ignore: *
# ignore: !tree/sub
# ignore: tree/sub/deep
# ignore: !a.txt
