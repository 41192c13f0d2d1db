# A file as large as all that is free, reserved blocks too; a few blocks are left for its extents.
free=$(dumpe2fs -h "$ROOT" 2>/dev/null | sed -n 's/^Free blocks: *//p')
head -c $(((free - 16) * 4096)) /dev/zero | tr '\0' x >filler
debugfs -w -R 'write filler /filler' "$ROOT" 2>/dev/null
rm filler
