from busybox as Stage
env a=1
run touch /x
copy a.txt /y
from stage
cmd ["x"]
