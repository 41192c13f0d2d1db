#!/bin/sh
# mmdebstrap's essential hook: settings that maintainer scripts read must lie there before the
# packages are configured, and depmod starts early.
set -eu
root=$1
cp -R --no-preserve=ownership "$CLAWDIE_BEFORE_PACKAGES/." "$root/"

# depmod decompresses each of the kernel's 4,000 modules: 4 of 25 seconds in which one processor works
# and the others wait. So it runs now, on modules unpacked aside, while other packages are installed.
early=$root/.clawdie-modules
mkdir "$early"
(
    set -e
    trap 'touch "$early/over"' EXIT
    cd "$root/var/cache/apt/archives"
    for deb in linux-image-[0-9]*.deb kmod_*.deb libkmod2_*.deb; do
        dpkg-deb --extract "$deb" "$early"
    done
    ln -s usr/lib "$early/lib"
    version=$(basename "$early"/usr/lib/modules/*)
    chroot "$root" env LD_LIBRARY_PATH=/.clawdie-modules/usr/lib/x86_64-linux-gnu \
        /.clawdie-modules/usr/sbin/depmod -b /.clawdie-modules/ "$version"
    mv "$early/usr/lib/modules/$version" "$early/ready"
) > "$early.log" 2>&1 &

# The kernel's postinst calls this depmod; the customize hook puts the real one back.
chroot "$root" dpkg-divert --quiet --local --rename \
    --divert /usr/sbin/depmod.packaged --add /usr/sbin/depmod
cp "$CLAWDIE_WORK/depmod.sh" "$root/usr/sbin/depmod"
chmod 0755 "$root/usr/sbin/depmod"
