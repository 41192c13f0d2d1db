. "$LIB"
has "$ANSWERS" running
root_file /var/lib/clawdie/journal | cmp - journal.before
cmp "$RESULT" result.before
