FROM busybox
ENV set=1 empty=
ENV a=${set:-x} b=${unset:-x} c=${empty:-x} d=${set:+y} e=${unset:+y} f=${empty:+y}
ENV g=${unset:-${set}} h=\$set i=\${set} j="$set'$set'" k='$set' l=$set$set m=$
WORKDIR /${set}/x$unset
LABEL v=$set w=${unset:-"a b"}
USER $set
