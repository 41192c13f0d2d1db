. "$LIB"
root_has /etc/hostname hive
has "$RESULT" 'holds another'
