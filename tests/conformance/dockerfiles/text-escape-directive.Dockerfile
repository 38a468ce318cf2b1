# escape=`
FROM busybox
ENV a=one` two b=c:\dir c=`$a
RUN mkdir /x `
  /y
