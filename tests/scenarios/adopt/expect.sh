. "$LIB"
[ "$(head -n 1 "$ANSWERS")" = cellar ] || fail "the host has another name"
root_has /etc/hostname cellar
root_has /etc/colibri/provider.env 'ANTHROPIC_API_KEY="theirs"'
lacks "$ANSWERS" Ljubljana
root_file /etc/colibri/provider.env >provider.before
