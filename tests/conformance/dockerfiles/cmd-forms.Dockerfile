FROM busybox
CMD echo "a  b" $HOME
CMD ["echo", "a  b", "$HOME"]
