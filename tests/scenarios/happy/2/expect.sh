. "$LIB"
has "$ANSWERS" running
root_file /var/lib/clawdie/journal | cmp - journal.before
cmp "$RESULT" result.before
# The processor's time for doing nothing; a translated processor takes many times as long as a real one.
sed -n 's/^CPUUsageNSec=\([0-9]*\)[0-9]\{6\}$/a phase with nothing to do: \1 ms/p' "$ANSWERS"
