. "$LIB"
has "$ANSWERS" running
root_file /var/lib/clawdie/journal | cmp - journal.before
cmp "$RESULT" result.before
# What a boot with nothing to do takes of the processor, which is a translated one here.
outside=$(LC_ALL=C bash -c 'TIMEFORMAT="%U"; time sh -c "i=0; while [ \$i -lt 200000 ]; do i=\$((i+1)); done"' 2>&1)
awk -F '[ =]' -v outside="$outside" '
    /^CPUUsageNSec=/ { used += $2 / 1e6 }
    /^loop / { slower = $2 / outside }
    END {
        printf "nothing to do: %d ms on a processor that is %.0f times as slow as ours, so %d ms\n",
            used, slower, used / slower
    }' "$ANSWERS"
