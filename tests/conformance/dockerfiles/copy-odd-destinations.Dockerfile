FROM busybox
WORKDIR ../../x/./y//z
COPY tree/. t
COPY ./tree/./sub/. /s
COPY tree// /u//
COPY tree a.txt /without-a-slash
COPY *.nope a.txt /some/
COPY empty/* /none/
COPY /a.txt /tree/../b.txt /absolute/
COPY tree/sub ""
