. "$LIB"
[ "$(head -n 1 "$ANSWERS")" = hive ] || fail "the host has another name"
root_has /etc/hostname hive
has "$RESULT" 'HOSTNAME is'
