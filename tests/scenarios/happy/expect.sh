. "$LIB"
has "$RESULT" 'Clawdie first boot: READY'
has "$RESULT" 'ssh ada@'
has "$ANSWERS" running
root_has /etc/hostname hive
root_has /etc/colibri/provider.env "$OPENROUTER_API_KEY"
# What the next boot must not change.
root_file /var/lib/clawdie/journal >journal.before
cp "$RESULT" result.before
