FROM busybox
RUN set -e; \
    # a comment inside
    mkdir /one; \

    mkdir /two;   \  
  # another one
    echo "a   b" > /three
