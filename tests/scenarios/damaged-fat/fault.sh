# The volume keeps its label, so that it is found; its boot sector names no sector size.
offset=${SEED##*@@}
printf '\0\0' | dd of="$DISK" bs=1 seek=$((offset + 11)) conv=notrunc status=none
