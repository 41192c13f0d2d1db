. "$LIB"
has "$RESULT" 'Clawdie first boot: READY'
root_has /etc/hostname hive
