. "$LIB"
root_has /etc/hostname hive
