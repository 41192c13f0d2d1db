. "$LIB"
root_file /var/lib/clawdie/journal | cmp - journal.before || fail "the journal has changed"
root_has /etc/colibri/provider.env "$OPENROUTER_API_KEY"
