FROM busybox
ENV old  form = with "quotes"  and $PATH
