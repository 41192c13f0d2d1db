. "$LIB"
has "$RESULT" 'HOSTNAME is'
[ "$(head -n 1 "$ANSWERS")" = cellar ] || fail "the host has another name"
root_has /etc/hostname cellar
root_file /etc/colibri/provider.env | cmp - provider.before || fail "provider.env has changed"
