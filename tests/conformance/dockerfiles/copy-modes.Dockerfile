FROM busybox
COPY modes /modes
COPY modes/setuid modes/secret /m/
COPY modes/sticky /a-new-directory
COPY modes/private/ /another/new
COPY modes /there-is/
