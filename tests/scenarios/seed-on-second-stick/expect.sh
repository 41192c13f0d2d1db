. "$LIB"
root_has /etc/hostname hive
mtype -i "$STICK" ::RESULT.txt >second
has second 'Clawdie first boot: READY'
