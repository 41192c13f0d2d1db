hostname
colibri service-check
