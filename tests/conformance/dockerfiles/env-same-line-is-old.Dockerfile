FROM busybox
ENV a=1
ENV a=2 b=$a c=${a}3
ENV PATH=/opt/bin:$PATH
