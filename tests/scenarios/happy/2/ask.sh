systemctl is-system-running --wait
colibri service-check
# CPU time of both phases, in microseconds.
systemctl show -P CPUUsageNSec clawdie-firstboot-early clawdie-firstboot-late
