systemctl is-system-running --wait
colibri service-check
root 'systemctl show -p CPUUsageNSec clawdie-firstboot-early clawdie-firstboot-late'
