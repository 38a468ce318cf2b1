FROM busybox
COPY passwd group /etc/
USER alice
RUN id > /tmp/id.txt; echo $HOME >> /tmp/id.txt; whoami >> /tmp/id.txt
USER alice:wheel
RUN id >> /tmp/id.txt
USER root
# judge: classic
