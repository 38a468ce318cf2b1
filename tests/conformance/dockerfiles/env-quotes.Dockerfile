FROM busybox
ENV a=1 b="two words" c='single $a' d=back\ slash e="esc\"aped" f= g="x"'y'z
ENV h="multi \
  line" i=end
