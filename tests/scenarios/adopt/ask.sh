hostname
timedatectl show -p Timezone --value
colibri service-check
