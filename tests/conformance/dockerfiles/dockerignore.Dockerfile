FROM busybox
COPY . /all
# judge: classic
# ignore: *.txt
# ignore: !b.txt
# ignore: tree/**/*.c
# ignore: !tree/sub/deep/z.c
# ignore: odd
# ignore: Dockerfile
# ignore: capable
# ignore: modes/setuid
