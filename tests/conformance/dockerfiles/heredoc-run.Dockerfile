FROM busybox
RUN <<EOF
set -e
echo one > /one
echo "$HOME" > /two
EOF
