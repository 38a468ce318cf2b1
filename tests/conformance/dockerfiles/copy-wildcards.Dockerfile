FROM busybox
COPY *.txt /txt/
COPY tree/*/*.c /c/
COPY [ab].tx? /ab/
COPY tree/s* /s/
COPY a.tx[t] /single/
