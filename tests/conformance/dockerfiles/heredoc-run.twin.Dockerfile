FROM busybox
RUN set -e; echo one > /one; echo "$HOME" > /two
