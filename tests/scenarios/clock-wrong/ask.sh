date -u +%Y
systemctl is-system-running --wait
colibri service-check
