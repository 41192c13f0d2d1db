. "$LIB"
root_file /var/lib/clawdie/journal | cmp - journal.before || fail "the journal has changed"
root_has "$TENANT_ENV" "$OPENROUTER_API_KEY"
