. "$LIB"
[ "$(head -n 1 "$ANSWERS")" = cellar ] || fail "the host has another name"
root_has /etc/hostname cellar
# Their key has moved into the jail with the assistant, and lies nowhere else.
root_has "$TENANT_ENV" theirs
! root_file /etc/colibri/provider.env | grep -q API_KEY || fail "provider.env still has a key"
lacks "$ANSWERS" Ljubljana
root_file /etc/colibri/provider.env >provider.before
