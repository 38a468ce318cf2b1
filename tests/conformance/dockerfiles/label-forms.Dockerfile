FROM busybox
LABEL a=1 "b c"="d e" f='g h' multi="one \
two"
LABEL old form value
LABEL a=2
