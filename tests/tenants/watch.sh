#!/bin/sh
# Root's look at every process of the machine, again and again until /run/watch/stop is there: who has a secret in its
# arguments or its environment. The secrets lie in /run/watch/NAME, each in a file of its own: on the command line
# of a search they would be found there.
while [ ! -e /run/watch/stop ]; do
    for secret in /run/watch/secret-*; do
        for what in cmdline environ; do
            grep -lasFf "$secret" /proc/[0-9]*/$what | while read -r file; do
                folder=${file%/*}
                # One that ends meanwhile has none.
                group=$(cut -d: -f3 "$folder/cgroup" 2>/dev/null)
                printf '%s %s %s %s\n' "$what" "${secret##*/secret-}" "${group:--}" \
                    "$(tr '\0' ' ' <"$folder/cmdline" 2>/dev/null)"
            done
        done
    done
    sleep 0.5
done | sort | uniq -c
