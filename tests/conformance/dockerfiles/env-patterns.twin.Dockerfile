FROM busybox
ENV file=lib/libx.so.1.so
ENV a=libx.so.1.so b=so c=lib/libx.so.1 d=lib/libx e=lib/libx.a.1.so f=lib/libx.a.1.a
