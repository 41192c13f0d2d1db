systemctl is-system-running --wait
hostname
colibri service-check
root 'clawdie-firstboot status'
