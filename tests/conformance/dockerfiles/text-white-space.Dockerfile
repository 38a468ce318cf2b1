FROM	busybox   
RUN	echo	a	>	/x
ENV	a	b	c  
COPY	a.txt	/y   
USER  root  
WORKDIR   /w   
RUN echo 'a \
# gone \
b' > /z
CMD  ["a"]   
