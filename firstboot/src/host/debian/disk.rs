//! Disks as `lsblk` shows them: seed candidates, and the root's disk with the moves that grow it.

use serde::Deserialize;

use super::{Command, Debian, HostError, Processes};
use crate::host::{Access, GrowMove, Host as _, RootDisk, Volume};
use crate::seed;

/// What ext4 may leave unused of its partition: a last block group that is too small to be useful.
const SMALLEST_GROUP: u64 = 16 << 20;

/// A device of `lsblk --json`, with those inside it.
#[derive(Debug, Deserialize)]
struct Device {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    partlabel: Option<String>,
    label: Option<String>,
    fstype: Option<String>,
    size: u64,
    #[serde(default)]
    mountpoints: Vec<Option<String>>,
    #[serde(default)]
    children: Vec<Device>,
}

impl Device {
    fn holds_root(&self) -> bool {
        self.is_root() || self.children.iter().any(Device::holds_root)
    }

    fn is_root(&self) -> bool {
        self.mountpoints.iter().flatten().any(|point| point == "/")
    }

    fn may_be_seed(&self) -> bool {
        let named = self.label.as_deref().is_some_and(seed::is_fat_label)
            || self.partlabel.as_deref().is_some_and(seed::is_gpt_name);
        // A stick without partitions is fine; a stick with some is looked at through them.
        named && (self.kind == "part" || self.children.is_empty())
    }
}

#[derive(Deserialize)]
struct Listing {
    blockdevices: Vec<Device>,
}

/// `sfdisk --json`, as far as growing needs it. Numbers count sectors.
#[derive(Deserialize)]
struct SfdiskJson {
    partitiontable: Table,
}

#[derive(Deserialize)]
struct Table {
    label: String,
    #[serde(default = "usual_sector")]
    sectorsize: u64,
    partitions: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    node: String,
    start: u64,
    size: u64,
}

fn usual_sector() -> u64 {
    512
}

fn parse<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, HostError> {
    serde_json::from_str(text).map_err(|error| HostError::Unexpected {
        what: format!("the output of `{what}`"),
        detail: error.to_string(),
    })
}

/// Bytes of the ext4 file system from `dumpe2fs -h`.
fn ext4_bytes(header: &str) -> Option<u64> {
    let number = |name: &str| {
        header
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().parse::<u64>().ok())
    };
    number("Block count:")?.checked_mul(number("Block size:")?)
}

impl<P: Processes> Debian<P> {
    fn devices(&self) -> Result<Vec<Device>, HostError> {
        let columns = "PATH,TYPE,PARTLABEL,LABEL,FSTYPE,SIZE,MOUNTPOINTS";
        // Labels are read from the devices themselves: this early, udev may not know them yet, and asking it would
        // mean waiting for all of its queue.
        let command = Command::new([
            "lsblk",
            // RAM disks, floppies (an empty drive costs seconds for every look) and optical drives.
            "--exclude",
            "1,2,11",
            "--json",
            "--bytes",
            "--tree",
            "--properties-by",
            "blkid",
            "--output",
            columns,
        ]);
        let output = self.machine.processes.demand(&command)?;
        Ok(parse::<Listing>("lsblk --json", &output.stdout)?.blockdevices)
    }

    pub(super) fn seed_volumes(&self) -> Result<Vec<Volume>, HostError> {
        let mut found = Vec::new();
        for disk in self.devices()? {
            let on_boot_disk = disk.holds_root();
            let mut devices = vec![&disk];
            while let Some(device) = devices.pop() {
                devices.extend(&device.children);
                if device.may_be_seed() {
                    found.push(Volume {
                        device: device.path.clone(),
                        label: device.label.clone(),
                        gpt_name: device.partlabel.clone(),
                        on_boot_disk,
                    });
                }
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
        // Setup.txt holds secrets and FAT knows no owners: umask keeps everybody but root out.
        let options = format!("{mode},nosuid,nodev,noexec,umask=0077");
        let point = self.paths().seed_mount;
        self.machine.processes.demand(&Command::new([
            "mount",
            "-t",
            "vfat",
            "-o",
            &options,
            &volume.device,
            point,
        ]))?;
        Ok(())
    }

    pub(super) fn unmount(&self) -> Result<(), HostError> {
        let point = self.paths().seed_mount;
        let mounts = self
            .machine
            .read_at("/proc/self/mounts")?
            .unwrap_or_default();
        let mounts = String::from_utf8_lossy(&mounts);
        if mounts
            .lines()
            .any(|line| line.split(' ').nth(1) == Some(point))
        {
            self.machine
                .processes
                .demand(&Command::new(["umount", point]))?;
        }
        Ok(())
    }

    pub(super) fn find_root_disk(&self) -> Result<Option<RootDisk>, HostError> {
        let devices = self.devices()?;
        let Some((disk, part)) = devices.iter().find_map(|disk| {
            // Only a partition right on a disk can be grown; LVM, RAID and encryption are the admin's business.
            disk.children
                .iter()
                .find(|part| part.kind == "part" && part.is_root())
                .map(|part| (disk, part))
        }) else {
            return Ok(None);
        };
        if part.fstype.as_deref() != Some("ext4") {
            return Ok(None);
        }
        let dump = self
            .machine
            .processes
            .demand(&Command::new(["sfdisk", "--json", &disk.path]))?;
        let table = parse::<SfdiskJson>("sfdisk --json", &dump.stdout)?.partitiontable;
        if table.label != "gpt" {
            return Ok(None);
        }
        let Some(entry) = table
            .partitions
            .iter()
            .find(|entry| entry.node == part.path)
        else {
            return Err(HostError::Unexpected {
                what: format!("the partition table of {}", disk.path),
                detail: format!("it lacks {}, which the kernel has mounted as /", part.path),
            });
        };
        // From the partition's name: lsblk cannot tell the number while table and kernel differ in the size.
        let number = part
            .path
            .strip_prefix(&disk.path)
            .and_then(|rest| rest.trim_start_matches('p').parse().ok())
            .ok_or_else(|| HostError::Unexpected {
                what: format!("the name {}", part.path),
                detail: format!("it is not {} and a number", disk.path),
            })?;
        let header = self
            .machine
            .processes
            .demand(&Command::new(["dumpe2fs", "-h", &part.path]))?;
        let file_system_bytes =
            ext4_bytes(&header.stdout).ok_or_else(|| HostError::Unexpected {
                what: format!("the output of `dumpe2fs -h {}`", part.path),
                detail: "it names no block count and size".into(),
            })?;
        Ok(Some(RootDisk {
            disk: disk.path.clone(),
            partition: part.path.clone(),
            number,
            last: table
                .partitions
                .iter()
                .all(|other| other.start <= entry.start),
            disk_bytes: disk.size,
            start: entry.start * table.sectorsize,
            table_bytes: entry.size * table.sectorsize,
            kernel_bytes: part.size,
            file_system_bytes,
            unused_bytes: SMALLEST_GROUP,
        }))
    }

    pub(super) fn grow_root(&self, root: &RootDisk, step: GrowMove) -> Result<(), HostError> {
        let number = root.number.to_string();
        match step {
            GrowMove::Partition => {
                // The disk is in use: no rereading of the whole table, partx tells the kernel of this one partition.
                // The image is shorter than the stick, so the backup table lies in the middle of it and moves first.
                self.machine.processes.demand(&Command::new([
                    "sfdisk",
                    "--no-reread",
                    "--no-tell-kernel",
                    "--relocate",
                    "gpt-bak-std",
                    &root.disk,
                ]))?;
                let stretch = Command::new([
                    "sfdisk",
                    "--no-reread",
                    "--no-tell-kernel",
                    "-N",
                    &number,
                    &root.disk,
                ])
                .with_input(", +\n".to_owned().into());
                self.machine.processes.demand(&stretch)?;
            }
            GrowMove::Kernel => {
                self.machine.processes.demand(&Command::new([
                    "partx", "--update", "--nr", &number, &root.disk,
                ]))?;
            }
            GrowMove::FileSystem => {
                self.machine
                    .processes
                    .demand(&Command::new(["resize2fs", &root.partition]))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_ext4_is_read_from_its_header() {
        let header = "Filesystem volume name:   rootfs\nBlock count:              131072\nReserved block count:     6553\n\
                      Block size:               4096\nFragment size:            4096\n";
        assert_eq!(ext4_bytes(header), Some(512 << 20));
        assert_eq!(ext4_bytes("Block size: 4096\n"), None);
    }
}
