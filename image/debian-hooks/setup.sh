#!/bin/sh
# mmdebstrap's setup hook: the locked packages, and an index of nothing but them, so that nothing is
# fetched or chosen while the root is made. Each was compared with the hash that apt accepted.
set -eu
root=$1
mkdir -p "$root/var/lib/apt/lists/partial" "$root/var/cache/apt/archives/partial"
cp "$CLAWDIE_WORK/Packages" "$root/var/lib/apt/lists/$CLAWDIE_INDEX"
while read -r deb; do
    cp "$CLAWDIE_DOWNLOADS/archives/$deb" "$root/var/cache/apt/archives/"
done < "$CLAWDIE_WORK/debs"
