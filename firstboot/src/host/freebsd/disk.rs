//! Seed candidates, the seed's mount, and the root's disk with the moves that grow it.
//!
//! First boot grows the root, and not base's `rc.d/growfs`: that one runs only while `/firstboot` is there, and
//! `/etc/rc` removes that file at the end of the first boot even when growing failed or was never reached. Here the
//! disk alone tells what is left to do, at each boot with work to do, and a cut between two moves is made good.

use super::geom::{self, Disk, Partition};
use super::{Command, Freebsd, HostError, Processes};
use crate::host::{Access, GrowMove, Host as _, RootDisk, Volume};
use crate::seed;

/// A line of `mount -p`: device, point, type, and the rest.
pub(super) struct Mount<'a> {
    pub(super) device: &'a str,
    point: &'a str,
    kind: &'a str,
}

fn mounts(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(Mount {
            device: words.next()?,
            point: words.next()?,
            kind: words.next()?,
        })
    })
}

/// What `dumpfs -s` tells of a UFS, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Ufs {
    size: u64,
    /// growfs leaves the last cylinder group out when nothing but its own tables would fit.
    smallest_group: u64,
}

fn ufs(superblock: &str) -> Option<Ufs> {
    let words: Vec<&str> = superblock.split_whitespace().collect();
    let number = |name: &str| {
        words
            .windows(2)
            .find(|pair| pair[0] == name)
            .and_then(|pair| pair[1].parse::<u64>().ok())
    };
    let fragment = number("fsize")?;
    Some(Ufs {
        size: number("size")?.checked_mul(fragment)?,
        smallest_group: number("dblkno")?.checked_add(1)?.checked_mul(fragment)?,
    })
}

impl<P: Processes> Freebsd<P> {
    fn disks(&self) -> Result<Vec<Disk>, HostError> {
        let output =
            self.machine
                .processes
                .demand(&Command::new(["sysctl", "-n", "kern.geom.confxml"]))?;
        geom::disks(&output.stdout)
    }

    pub(super) fn mounted(&self) -> Result<String, HostError> {
        let output = self
            .machine
            .processes
            .demand(&Command::new(["mount", "-p"]))?;
        Ok(output.stdout)
    }

    pub(super) fn seed_volumes(&self) -> Result<Vec<Volume>, HostError> {
        let mounted = self.mounted()?;
        let root = root_mount(&mounted).map(|root| root.device);
        let mut found = Vec::new();
        for disk in self.disks()? {
            let on_boot_disk = root
                .and_then(|root| root.strip_prefix("/dev/"))
                .is_some_and(|root| {
                    disk.partitions
                        .iter()
                        .any(|part| part.bytes_as(root).is_some())
                });
            let mut consider = |name: &str, label: Option<&str>, gpt_name: Option<&str>| {
                if label.is_some_and(seed::is_fat_label) || gpt_name.is_some_and(seed::is_gpt_name)
                {
                    found.push(Volume {
                        // Not by its label: two sticks may have the same one.
                        device: format!("/dev/{name}"),
                        label: label.map(str::to_owned),
                        gpt_name: gpt_name.map(str::to_owned),
                        on_boot_disk,
                    });
                }
            };
            for part in &disk.partitions {
                consider(
                    &part.name,
                    geom::fat_label(&part.labels),
                    part.gpt_name.as_deref(),
                );
            }
            // A stick without partitions is fine; a stick with some is looked at through them.
            if disk.partitions.is_empty() {
                consider(&disk.name, geom::fat_label(&disk.labels), None);
            }
        }
        found.sort_by_key(|volume| (!volume.on_boot_disk, volume.device.clone()));
        Ok(found)
    }

    pub(super) fn mount(&self, volume: &Volume, access: Access) -> Result<(), HostError> {
        self.unmount()?;
        self.machine.make_mount_point(&self.paths())?;
        let mode = match access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        // Setup.txt holds secrets and FAT knows no owners: the modes keep everybody but root out. Only
        // mount(8) splits lists of options; here each has its own `-o`.
        self.machine.processes.demand(&Command::new([
            "mount_msdosfs",
            "-o",
            mode,
            "-o",
            "nosuid",
            "-o",
            "noexec",
            "-u",
            "0",
            "-g",
            "0",
            "-m",
            "700",
            "-M",
            "700",
            &volume.device,
            self.paths().seed_mount,
        ]))?;
        Ok(())
    }

    pub(super) fn unmount(&self) -> Result<(), HostError> {
        let point = self.paths().seed_mount;
        if mounts(&self.mounted()?).any(|mount| mount.point == point) {
            self.machine
                .processes
                .demand(&Command::new(["umount", point]))?;
        }
        Ok(())
    }

    pub(super) fn find_root_disk(&self) -> Result<Option<RootDisk>, HostError> {
        let mounted = self.mounted()?;
        let Some((device, name)) = root_mount(&mounted)
            .filter(|root| root.kind == "ufs")
            .and_then(|root| Some((root.device, root.device.strip_prefix("/dev/")?)))
        else {
            return Ok(None);
        };
        let disks = self.disks()?;
        // Only a GPT partition right on a disk can be grown; mirrors, ZFS and encryption are the admin's business.
        let Some((disk, part, kernel_bytes)) = disks
            .iter()
            .filter(|disk| disk.scheme.as_deref() == Some("GPT"))
            .find_map(|disk| {
                disk.partitions
                    .iter()
                    .find_map(|part| Some((disk, part, part.bytes_as(name)?)))
            })
        else {
            return Ok(None);
        };
        let output = self
            .machine
            .processes
            .demand(&Command::new(["dumpfs", "-s", device]))?;
        let ufs = ufs(&output.stdout).ok_or_else(|| HostError::Unexpected {
            what: format!("the output of `dumpfs -s {device}`"),
            detail: "it names no size, fragment size or first data block".into(),
        })?;
        Ok(Some(RootDisk {
            disk: format!("/dev/{}", disk.name),
            partition: format!("/dev/{}", part.name),
            number: part.number,
            last: disk
                .partitions
                .iter()
                .all(|other: &Partition| other.start <= part.start),
            disk_bytes: disk.bytes,
            start: part.start,
            table_bytes: part.bytes,
            kernel_bytes,
            file_system_bytes: ufs.size,
            unused_bytes: ufs.smallest_group,
        }))
    }

    pub(super) fn grow_root(&self, root: &RootDisk, step: GrowMove) -> Result<(), HostError> {
        let geom = root.disk.strip_prefix("/dev/").unwrap_or(&root.disk);
        let demand = |command: &[&str]| {
            self.machine
                .processes
                .demand(&Command::new(command.iter().copied()))
        };
        match step {
            GrowMove::Partition => {
                // The image is shorter than the stick, so the backup table lies in the middle of it: GEOM calls the
                // table corrupt and changes nothing until it is recovered. A whole one is left as it is.
                demand(&["gpart", "recover", geom])?;
                demand(&["gpart", "resize", "-i", &root.number.to_string(), geom])?;
            }
            GrowMove::Kernel => {
                return Err(HostError::Refused(format!(
                    "the kernel still works with the old size of {}; the next start goes on from here",
                    root.partition
                )));
            }
            // growfs reads the free counts from the disk before it stops the file system, and the kernel takes them back
            // from there (growfs.c, ffs_reload): whatever was written since would count wrong ever after. So the
            // kernel's counts go to the disk first; sync only begins, and of removed files they know a second later.
            // By its mount point: growfs takes a device that is mounted under another name for an idle one.
            GrowMove::FileSystem => {
                for _ in 0..2 {
                    demand(&["sync"])?;
                    demand(&["sleep", "2"])?;
                }
                demand(&["growfs", "-y", "/"])?;
            }
        }
        Ok(())
    }
}

pub(super) fn root_mount(mounted: &str) -> Option<Mount<'_>> {
    mounts(mounted).find(|mount| mount.point == "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_ufs_is_read_from_its_superblock() {
        let read = ufs(include_str!("transcripts/dumpfs-fresh.txt")).expect("read");
        assert_eq!(
            read,
            Ufs {
                size: 153_600 * 4096,
                smallest_group: 5065 * 4096
            }
        );
        assert_eq!(ufs("magic\t19540119 (UFS2)\nfsize\t4096\n"), None);
    }
}
