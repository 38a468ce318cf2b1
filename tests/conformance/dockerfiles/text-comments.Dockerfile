# one
   # two
FROM busybox
#RUN exit 1
	RUN touch /x # not a comment for Docker, but for the shell
  ENV a=#b c="#d"
