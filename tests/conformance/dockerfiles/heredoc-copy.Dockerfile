FROM busybox
ENV who=world
COPY <<EOF /hello
hello $who, "quoted" \$who
EOF
COPY --chown=5:6 --chmod=0750 <<"A" <<-B a.txt /several/
raw $who
A
	indented
		twice
	B
COPY <<EMPTY /nothing
EMPTY
