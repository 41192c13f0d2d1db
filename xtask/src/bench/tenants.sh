#!/bin/sh
# What root measures on the booted machine; `tenants.rs` puts `counts=…` before it. A line for each count:
#   ours|bare COUNT MILLISECONDS KIB
set -eu

milliseconds() {
    echo $(($(date +%s%N) / 1000000))
}

# What lies in some folders, in KiB, with their own blocks, and nothing that is mounted in them.
kib() {
    du -skcx "$@" | tail -n 1 | cut -f1
}

# The smallest root that systemd-nspawn takes: a skeleton, with the host's /usr.
skeleton() {
    mkdir -p "$1/etc" "$1/usr" "$1/var" "$1/root" "$1/tmp" "$1/run" "$1/proc" "$1/sys" "$1/dev" "$1/home/agent"
    for name in bin sbin lib lib64; do
        ln -s "usr/$name" "$1/$name"
    done
    printf 'root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\nagent:x:1000:\n' >"$1/etc/group"
    chown 1000:1000 "$1/home/agent"
}

bare() {
    skeleton "/var/lib/bench/$1"
    systemd-nspawn --quiet --directory="/var/lib/bench/$1" --bind-ro=/usr --private-network \
        --private-users=524288:65536 --private-users-ownership=map --register=no --keep-unit \
        --user=agent --as-pid2 --pipe true </dev/null
}

ours() {
    colibri register-tenant "$1" --no-collection >/dev/null
    colibri provision-tenant "$1" >/dev/null
}

# shellcheck disable=SC2154 # comes from outside
for count in $counts; do
    mkdir -p /var/lib/bench
    begin=$(milliseconds)
    for number in $(seq "$count"); do
        bare "b${count}x$number"
    done
    took=$(($(milliseconds) - begin))
    echo "bare $count $took $(kib /var/lib/bench/b*)"
    rm -r /var/lib/bench

    begin=$(milliseconds)
    for number in $(seq "$count"); do
        ours "t${count}x$number"
    done
    took=$(($(milliseconds) - begin))
    running=$(systemctl list-units --plain --no-legend --state=running "colibri-jail@t${count}x*" | wc -l)
    [ "$running" = "$count" ] || { echo "only $running of $count jails run" >&2; exit 1; }
    echo "ours $count $took $(kib /var/lib/machines/t"${count}"x*)"
    for number in $(seq "$count"); do
        colibri remove-tenant "t${count}x$number" --destroy >/dev/null
    done
done
