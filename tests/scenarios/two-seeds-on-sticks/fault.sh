. "$LIB"
sed s/^HOSTNAME=.*/HOSTNAME=other/ "$SETUP" >other.txt
make_stick other.txt
