#!/bin/sh
# shellcheck disable=SC2016 # programs of perl and sh, which expand what stands in them
# What an agent that has turned against its host tries from inside its jail, and what root of the jail tries. One
# line an attempt: `held NAME` where it got nowhere, `OPEN NAME: …` where it got through, `BROKEN NAME: …` where it
# could not be tried; and `works NAME` for what must go. Addresses and names are in the environment, see `attempts.rs`.
set -u

PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
export PATH

# On a machine itself these would be deeds, not attempts.
read -r _ outside _ </proc/self/uid_map
if [ "$outside" = 0 ]; then
    echo "BROKEN this is no jail: its accounts are those of the machine"
    exit 1
fi

verdict() { # NAME STATUS WHAT-IT-SAID
    said=$(printf %s "$3" | tr '\n' ' ' | head -c 200)
    case $2 in
    0) echo "OPEN $1: $said" ;;
    125 | 126 | 127) echo "BROKEN $1: $said" ;;
    *) echo "held $1" ;;
    esac
}

# refused NAME WORDS…: they must not succeed.
refused() {
    name=$1
    shift
    said=$("$@" 2>&1 </dev/null)
    verdict "$name" $? "$said"
}

# works NAME TEXT WORDS…: they must succeed, and say the text.
works() {
    name=$1 text=$2
    shift 2
    said=$("$@" 2>&1 </dev/null)
    case $said in
    *"$text"*) echo "works $name" ;;
    *) echo "BROKEN $name: $(printf %s "$said" | tr '\n' ' ' | head -c 200)" ;;
    esac
}

# In parallel: an address behind a firewall keeps silent until the time is over.
connect() { # NAME ADDRESS PORT
    refused "$1" timeout 5 bash -c "exec 3<>/dev/tcp/$2/$3" &
}

perl_refused() { # NAME PROGRAM: it ends with 1 when the kernel would not
    refused "$1" timeout 10 perl -e "$2"
}

# --- the network

works "the test's server answers" test-model timeout 20 bash -c "exec 3<>/dev/tcp/${SERVER%:*}/${SERVER#*:}
    printf 'GET /v1/models HTTP/1.0\r\n\r\n' >&3
    cat <&3"
connect "a listener in the other tenant" "$OTHER" "$OTHER_PORT"
connect "a listener on the host's loopback, as this jail's own" 127.0.0.1 "$HOST_PORT"
connect "the host's name resolver on its loopback" 127.0.0.53 53
card=$(find /sys/class/net/ -mindepth 1 ! -name lo -printf '%f\n' | head -n 1)
for address in $HOST_ADDRESSES; do
    case $address in
    fe80:*) there=$address%$card ;;
    *) there=$address ;;
    esac
    connect "sshd of the host at $address" "$there" 22
    connect "a listener on all of the host at $address" "$there" "$HOST_PORT"
done
wait

# Of type 8, number 77, with its checksum; an answer is of type 0.
ping='use Socket; socket(my $s, PF_INET, SOCK_RAW, 1) or exit 1;
    send($s, pack("n4", 0x0800, 0xf7b1, 77, 1), 0, sockaddr_in(0, inet_aton($ARGV[0]))) or exit 1;
    my $end = time + 5;
    while ((my $left = $end - time) > 0) {
        my $ready = ""; vec($ready, fileno($s), 1) = 1;
        select($ready, undef, undef, $left) or exit 1;
        recv($s, my $got, 1500, 0);
        exit 0 if unpack("C", substr($got, 20)) == 0 and unpack("n", substr($got, 24)) == 77;
    }
    exit 1'
refused "a ping of the other tenant" timeout 10 perl -e "$ping" "$OTHER" &
for address in $HOST_ADDRESSES; do
    case $address in
    *:*) ;;
    *) refused "a ping of the host at $address" timeout 10 perl -e "$ping" "$address" & ;;
    esac
done
wait
if [ "$(id -u)" != 0 ]; then
    perl_refused "a raw socket" 'socket(my $s, 2, 3, 1) or exit 1'
    perl_refused "a packet socket" 'socket(my $s, 17, 3, 0x300) or exit 1'
fi
# What keeps this one out is a filter, which holds for all that the helper and the jail's own unit start; who was put
# into the jail by the test has none. The numbers are that of any host itself, and that of the one below (vsock(7)).
if [ "$STARTED_BY" = helper ]; then
    for host in 1 2; do
        perl_refused "a listener of the host by AF_VSOCK to $host" \
            'socket(my $s, 40, 1, 0) or exit 1; connect($s, pack("SSLLx4", 40, 0, '"$VSOCK_PORT, $host"')) or exit 1'
    done
fi

# --- files of the host

for folder in etc var/lib root home tmp run srv var/lib/colibri etc/colibri; do
    refused "the host's /$folder" cat "/$folder/host-marker"
    refused "the host's /$folder through process 1" cat "/proc/1/root/$folder/host-marker"
done
refused "the host's password file" grep "^$LOGIN:" /etc/shadow
for file in provider.env vault.env operator.json; do
    refused "the host's $file" cat "/etc/colibri/$file"
done
refused "the other tenant's root" ls "/var/lib/machines/$OTHER_NAME"
refused "any tenant's root" ls /var/lib/machines/
refused "a way up out of the root" cat /../../../../etc/host-marker
perl_refused "a way out by chroot" 'mkdir "/tmp/out"; chroot "/tmp/out" or exit 1;
    chdir ".." for 1..64; chroot "." or exit 1; exit(-e "/root/host-marker" ? 0 : 1)'
perl_refused "a way out by the number of a file" 'sysopen(my $d, "/", 0) or exit 1;
    my $handle = pack("LlLL", 8, 1, 2, 0); my $fd = syscall(304, fileno($d), $handle, 0);
    exit($fd >= 0 && -e "/proc/self/fd/$fd/root/host-marker" ? 0 : 1)'
refused "writing to /usr" touch /usr/share/agent-was-here

# --- sockets of the host

refused "the control socket" timeout 10 colibri --socket /run/colibri/colibri.sock status
refused "the root helper's folder" ls /run/colibri-hostd/
refused "the system bus" ls /run/dbus/system_bus_socket
refused "the first process's socket" ls /run/systemd/private
for door in /run/colibri/*.sock; do
    [ -e "$door" ] || continue
    for verb in "create-task --title x" list-tenants "remove-tenant $OTHER_NAME --destroy" "spawn-local /usr/bin/true"; do
        # shellcheck disable=SC2086 # a verb and its words
        refused "an operator's ${verb%% *} over ${door##*/}" timeout 10 colibri --socket "$door" $verb
    done
done
refused "removing a door" rm /run/colibri/*.sock

# --- processes

refused "a process of the host in /proc" grep -lxE 'systemd|sshd|colibri-daemon|colibri-hostd' /proc/*/comm
[ -e "/proc/$DAEMON" ] || {
    perl_refused "a signal to the daemon" 'kill(0, '"$DAEMON"') or exit 1'
    perl_refused "ptrace of the daemon" 'syscall(101, 16, '"$DAEMON"', 0, 0) == 0 or exit 1'
}

# --- the kernel

refused "a block device in /dev" sh -c 'find /dev -type b | grep .'
refused "a block device made" mknod /tmp/disk b 8 0
for memory in /dev/mem /dev/port /proc/kcore; do
    refused "the machine's $memory" sh -c 'test -n "$(head -c 1 "$0" | tr "\\0" x)"' "$memory"
done
refused "the kernel's log" dmesg
refused "the clock" date -s @0
refused "a kernel module" modprobe dummy
perl_refused "a kernel module by itself" 'my $x = "x"; syscall(175, $x, 1, $x); exit($!{EPERM} || $!{ENOSYS} ? 1 : 0)'
refused "core_pattern" sh -c 'echo core >/proc/sys/kernel/core_pattern'
# `h` shows help in the kernel's log, no more.
refused "sysrq" sh -c 'echo h >/proc/sysrq-trigger'
refused "its own limit of memory" sh -c 'for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/*/memory.max; do
    echo max >"$file" && exit 0
done; exit 1'
refused "/usr made writable" unshare --mount sh -c 'mount -o remount,bind,rw /usr && touch /usr/share/agent-was-here'
refused "/usr taken away" unshare --mount sh -c 'umount --lazy /usr && ! test -e /usr/bin/env'
if [ "$(id -u)" != 0 ]; then
    refused "a mount" mount -t tmpfs none /mnt
fi
echo "works the whole list"
