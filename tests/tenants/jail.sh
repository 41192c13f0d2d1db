#!/bin/sh
# What the scripts that root runs on the booted machine can call; each is sent with this before it.

# group TENANT: the control group of its jail, below /sys/fs/cgroup.
group() {
    systemctl show -P ControlGroup "colibri-jail@$1.service"
}

# first TENANT: the host's number of the process that is number 1 in there.
first() {
    find "/sys/fs/cgroup$(group "$1")" -name cgroup.procs -exec cat {} + |
        while read -r pid; do
            awk -v pid="$pid" '/^NSpid:/ && NF > 2 && $NF == 1 { print pid }' "/proc/$pid/status" 2>/dev/null
        done | head -n 1
}

# enter TENANT UID WORDS…: runs them in the jail, as that user of it and under its limits. With 0 it is more than
# root in there ever is: a process that comes from outside brings all capabilities along.
enter() {
    tenant=$1 uid=$2
    shift 2
    pid=$(first "$tenant")
    [ -n "$pid" ] || { echo "the jail of $tenant does not run" >&2; return 1; }
    leaf=$(cut -d: -f3 "/proc/$pid/cgroup")
    sh -c 'leaf=$0 pid=$1 uid=$2; shift 2
        echo $$ >"/sys/fs/cgroup$leaf/cgroup.procs"
        exec nsenter --target "$pid" --all --root --wd --setuid="$uid" --setgid="$uid" \
            env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/home/agent LANG=C.UTF-8 "$@"' \
        "$leaf" "$pid" "$uid" "$@"
}

# milliseconds COUNT WORDS…: how long each of so many calls took, one a line; one that fails says so instead.
milliseconds() {
    count=$1
    shift
    while [ "$count" -gt 0 ]; do
        count=$((count - 1))
        begin=$(date +%s%N)
        if "$@" >/dev/null 2>&1; then
            echo $((($(date +%s%N) - begin) / 1000000))
        else
            echo "failed: $*"
        fi
    done
}
