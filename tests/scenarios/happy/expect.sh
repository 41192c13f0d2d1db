. "$LIB"
has "$RESULT" 'Clawdie first boot: READY'
has "$RESULT" 'ssh ada@'
has "$ANSWERS" running
root_has /etc/hostname hive
root_has "$TENANT_ENV" "$OPENROUTER_API_KEY"
! root_file /etc/colibri/provider.env | grep -q API_KEY || fail "provider.env has a key"
# What the next boot must not change.
root_file /var/lib/clawdie/journal >journal.before
cp "$RESULT" result.before
