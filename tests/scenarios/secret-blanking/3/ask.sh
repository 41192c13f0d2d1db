readlink /etc/localtime
colibri service-check
