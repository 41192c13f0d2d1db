#!/bin/sh
# mmdebstrap's setup hook: the package lists and packages come from our download cache, so that
# nothing is fetched while the root is made. apt checks each against the signed lists.
set -eu
root=$1
mkdir -p "$root/var/lib/apt/lists/partial" "$root/var/cache/apt/archives/partial"
cp "$CLAWDIE_DOWNLOADS"/lists/*_* "$root/var/lib/apt/lists/"
while read -r deb; do
    cp "$CLAWDIE_DOWNLOADS/archives/$deb" "$root/var/cache/apt/archives/"
done < "$CLAWDIE_WORK/debs"
