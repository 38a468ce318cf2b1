FROM busybox
ADD a.txt /a
ADD fake.tar /f/
ADD tree /tree
ADD plain.gz /g/
