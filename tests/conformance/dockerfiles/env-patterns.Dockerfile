FROM busybox
ENV file=lib/libx.so.1.so
ENV a=${file#*/} b=${file##*.} c=${file%.so} d=${file%%.*} e=${file/so/a} f=${file//so/a}
