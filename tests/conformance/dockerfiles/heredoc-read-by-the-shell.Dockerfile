FROM busybox
RUN cat <<ONE > /one && cat <<"TWO" > /two
home $HOME
ONE
raw $HOME
TWO
