FROM busybox AS base
ONBUILD RUN echo triggered > /triggered
ONBUILD ENV TRIGGERED=yes
ONBUILD COPY a.txt /from-trigger
FROM base
RUN echo $TRIGGERED > /seen
