#!/bin/sh
# Everything of tenants that a host has at this moment, a line each: what is there after a tenant has gone and was not
# before it came is left of it.
find /var/lib/machines /run/systemd/nspawn /run/systemd/machines /etc/systemd/nspawn /run/colibri-hostd /run/netns \
    /etc/systemd/system /run/systemd/system /run/systemd/system.control /etc/colibri /var/lib/colibri-hostd \
    /var/lib/colibri-vault -maxdepth 2 2>/dev/null | sed 's/^/file /'
ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/link \1/'
ip -4 route | sed 's/^/route /'
awk '{ print "mount", $2 }' /proc/mounts
find /sys/fs/cgroup -type d -name '*jail*' | sed 's/^/group /'
systemctl list-units --all --plain --no-legend --no-pager 'colibri-jail*' | sed 's/^\([^ ]*\) .*/unit \1/'
nft list ruleset | grep -oE '10\.213\.[0-9.]*[0-9]' | sort -u | sed 's/^/rule /'
# Numbers of processes come and go; what holds a lock, by name, does not.
lslocks --noheadings --output TYPE,COMMAND,PATH | grep '^ *FLOCK' | sed 's/^ */lock /'
pgrep -a -f '[n]spawn|[b]w[.]js|[i]n-jail|[s]leep infinity' | sed 's/^[0-9]* /process /'
