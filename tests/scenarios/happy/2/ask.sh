systemctl is-system-running --wait
colibri service-check
root 'systemctl show -p CPUUsageNSec clawdie-firstboot-early clawdie-firstboot-late'
# A fixed piece of work, to compare the guest's processor with the one outside.
bash -c 'TIMEFORMAT="loop %U"; time sh -c "i=0; while [ \$i -lt 200000 ]; do i=\$((i+1)); done"' 2>&1
