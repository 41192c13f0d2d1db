#!/bin/sh
# mmdebstrap's customize hook: makes the initramfs, then takes the boot files out of the boot packages
# into /.clawdie-boot, and links the BIOS core image with the grub-mkimage of the same release as its
# modules.
set -eu
root=$1

rm "$root/usr/sbin/depmod"
chroot "$root" dpkg-divert --quiet --local --rename \
    --divert /usr/sbin/depmod.packaged --remove /usr/sbin/depmod
rm -r "$root/.clawdie-modules" "$root/.clawdie-modules.log"

# INITRD=No kept the kernel's hook from making one: a trigger made a second one at the end anyway.
version=$(basename "$root"/usr/lib/modules/*)
unset INITRD
chroot "$root" update-initramfs -c -k "$version"
chroot "$root" linux-update-symlinks install "$version" "/boot/vmlinuz-$version"

boot=$root/.clawdie-boot
mkdir "$boot" "$boot/unpacked"
while read -r deb; do
    dpkg-deb --extract "$CLAWDIE_DOWNLOADS/archives/$deb" "$boot/unpacked"
done < "$CLAWDIE_WORK/boot-debs"

modules=/.clawdie-boot/unpacked/usr/lib/grub/i386-pc
libraries=/.clawdie-boot/unpacked/usr/lib/x86_64-linux-gnu
# The partition is found on the disk that the BIOS started: no drive in the prefix.
# shellcheck disable=SC2086 # the modules are a list of words
chroot "$root" env LD_LIBRARY_PATH="$libraries" \
    /.clawdie-boot/unpacked/usr/bin/grub-mkimage \
    --format=i386-pc --directory="$modules" --prefix="(,gpt$CLAWDIE_ROOT_PARTITION)/boot/grub" \
    --output=/.clawdie-boot/core.img $CLAWDIE_GRUB_MODULES
cp "$root$modules/boot.img" "$boot/boot.img"
for file in $CLAWDIE_BOOT_FILES; do
    mkdir -p "$boot/$(dirname "$file")"
    cp "$boot/unpacked/$file" "$boot/$file"
done
rm -r "$boot/unpacked"
