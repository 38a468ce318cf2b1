FROM busybox
RUN mkdir -m 777 /h
USER 33:44
WORKDIR /h/a/b
COPY a.txt .
COPY tree t
RUN touch me && stat -c '%u %g' me a.txt t > s
