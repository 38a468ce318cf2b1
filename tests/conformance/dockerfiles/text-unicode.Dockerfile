FROM busybox
ENV grüße="schöne 世界" x=é
LABEL ключ=значение
RUN touch "/$x" && mkdir /日本
