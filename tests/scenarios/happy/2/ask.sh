systemctl is-system-running --wait
colibri service-check
