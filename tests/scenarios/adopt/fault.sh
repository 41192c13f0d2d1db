# A host with a name and a provider of its own, which first boot has never set up.
echo cellar >hostname
printf 'ANTHROPIC_API_KEY="theirs"\n' >provider.env
for file in etc/hostname etc/colibri/provider.env; do
    debugfs -w "$ROOT" 2>/dev/null <<COMMANDS
rm /$file
write ${file##*/} /$file
set_inode_field /$file uid 0
set_inode_field /$file gid 0
COMMANDS
done
debugfs -w -R 'set_inode_field /etc/hostname mode 0100644' "$ROOT" 2>/dev/null
debugfs -w -R 'set_inode_field /etc/colibri/provider.env mode 0100600' "$ROOT" 2>/dev/null
# Its root has the room of a host in use: first boot leaves the partitions of such a host alone. The file system grows in
# a file of its own, because resize2fs cuts a disk's image off where the file system ends.
uuid=$(sgdisk -i 4 "$DISK" | sed -n 's/^Partition unique GUID: //p')
echo "size=+, uuid=$uuid" | sfdisk -q -N 4 "$DISK"
sectors=$(sgdisk -i 4 "$DISK" | sed -n 's/^Partition size: \([0-9]*\) .*/\1/p')
start=${ROOT##*offset=}
dd if="$DISK" of=root bs=1M iflag=skip_bytes skip="$start" conv=sparse status=none
resize2fs -f root "${sectors}s"
dd if=root of="$DISK" bs=1M oflag=seek_bytes seek="$start" conv=notrunc status=none
rm root
