//! Linux: `/sys/block`, `/proc/self/mountinfo` and `/proc/swaps`.
//!
//! What is mounted is followed down through LVM, encryption and RAID (`slaves` in `/sys`) to the disks
//! below. Some things are not told there, a disk of a ZFS pool for one; the kernel, which refuses to open
//! it exclusively, has the last word.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::{Disk, Kind, Partition, Use, unescape};
use crate::Result;

/// Where the system tells of its disks.
pub(super) struct System {
    /// `/sys/block`.
    sys: PathBuf,
    /// `/run/udev/data`, for labels of file systems; may be missing.
    udev: PathBuf,
    /// `/proc/self/mountinfo`.
    mounts: String,
    /// `/proc/swaps`.
    swaps: String,
}

/// Names below `/sys/block` and what belongs to them.
struct Names {
    /// Disk of each partition.
    disks: HashMap<String, String>,
    /// Name of each `major:minor`.
    numbers: HashMap<String, String>,
}

impl System {
    /// The running one.
    pub(super) fn running() -> Result<Self> {
        Ok(Self {
            sys: "/sys/block".into(),
            udev: "/run/udev/data".into(),
            mounts: fs_err::read_to_string("/proc/self/mountinfo")?,
            // A kernel without swap has none.
            swaps: std::fs::read_to_string("/proc/swaps").unwrap_or_default(),
        })
    }

    /// Its disks by name, without those that nothing is in and nobody made (`loop0`, `ram0`), and without
    /// drives of CDs: an empty one says that it has a gigabyte.
    pub(super) fn disks(&self) -> Result<Vec<Disk>> {
        let names = self.names()?;
        let mut uses = self.uses(&names)?;
        let mut disks = Vec::new();
        for name in entries(&self.sys)? {
            let folder = self.sys.join(&name);
            let mut disk = self.disk(&name)?;
            disk.uses = uses.remove(&name).unwrap_or_default();
            if disk.uses.is_empty() {
                // An open volume on it is told by its mount, if it has one.
                let parts = disk.partitions.iter().map(|part| folder.join(&part.name));
                for place in std::iter::once(folder.clone()).chain(parts) {
                    for holder in entries(&place.join("holders"))? {
                        disk.uses.push(Use::Held {
                            by: self.title(&holder),
                        });
                    }
                }
            }
            let hidden = text(&folder.join("hidden")) == "1";
            let nothing = disk.kind == Kind::Virtual && disk.bytes == 0;
            if !hidden && !nothing && !name.starts_with("sr") {
                disks.push(disk);
            }
        }
        Ok(disks)
    }

    fn disk(&self, name: &str) -> Result<Disk> {
        let folder = self.sys.join(name);
        let sectors = |place: &Path| text(&place.join("size")).parse::<u64>().unwrap_or(0) * 512;
        let mut partitions = Vec::new();
        for part in partitions_of(&folder)? {
            let place = folder.join(&part);
            partitions.push(Partition {
                bytes: sectors(&place),
                label: self.label(&place),
                name: part,
            });
        }
        let words = ["device/vendor", "device/model", "device/name"]
            .map(|file| text(&folder.join(file)))
            .into_iter()
            // `ATA` is how the disk is asked, not who made it.
            .filter(|word| !word.is_empty() && word != "ATA");
        Ok(Disk {
            path: Path::new("/dev").join(name.replace('!', "/")),
            bytes: sectors(&folder),
            model: words.collect::<Vec<_>>().join(" "),
            kind: kind(&folder),
            read_only: text(&folder.join("ro")) == "1",
            sector: text(&folder.join("queue/logical_block_size"))
                .parse()
                .unwrap_or(super::SECTOR),
            partitions,
            uses: Vec::new(),
        })
    }

    /// The label of the file system, as udev read it; else the name in the partition table.
    fn label(&self, place: &Path) -> Option<String> {
        let udev = text(&self.udev.join(format!("b{}", text(&place.join("dev")))));
        let uevent = text(&place.join("uevent"));
        let after = |text: &str, key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key))?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        after(&udev, "E:ID_FS_LABEL=").or_else(|| after(&uevent, "PARTNAME="))
    }

    fn names(&self) -> Result<Names> {
        let mut names = Names {
            disks: HashMap::new(),
            numbers: HashMap::new(),
        };
        for disk in entries(&self.sys)? {
            let folder = self.sys.join(&disk);
            names
                .numbers
                .insert(text(&folder.join("dev")), disk.clone());
            for part in partitions_of(&folder)? {
                let number = text(&folder.join(&part).join("dev"));
                names.numbers.insert(number, part.clone());
                names.disks.insert(part, disk.clone());
            }
        }
        Ok(names)
    }

    /// What uses each disk, mounts and swap alike.
    fn uses(&self, names: &Names) -> Result<BTreeMap<String, Vec<Use>>> {
        let mut uses: BTreeMap<String, Vec<Use>> = BTreeMap::new();
        let mut add = |device: String, used: &dyn Fn(String) -> Use| -> Result<()> {
            let title = self.title(&device);
            for disk in self.below(&device, names, &mut BTreeSet::new())? {
                uses.entry(disk).or_default().push(used(title.clone()));
            }
            Ok(())
        };
        for line in self.mounts.lines() {
            // 36 35 98:0 /subvolume /mnt rw,noatime shared:1 - ext4 /dev/root rw
            let fields: Vec<_> = line.split(' ').collect();
            let (Some(number), Some(at)) = (fields.get(2), fields.get(4)) else {
                continue;
            };
            let source = fields
                .iter()
                .position(|field| *field == "-")
                .map(|dash| dash + 2);
            let source = source.and_then(|source| fields.get(source));
            // btrfs has a number of its own, so there the name of the device tells.
            let by_source = || source.and_then(|source| self.known(&unescape(source), names));
            if let Some(device) = names.numbers.get(*number).cloned().or_else(by_source) {
                let at = unescape(at);
                add(device, &|device| Use::Mounted {
                    device,
                    at: at.clone(),
                })?;
            }
        }
        for line in self.swaps.lines().skip(1) {
            let device = line.split_whitespace().next().map(unescape);
            if let Some(device) = device.and_then(|path| self.known(&path, names)) {
                add(device, &|device| Use::Swap { device })?;
            }
        }
        Ok(uses)
    }

    /// The name in `/sys` of a device's file, be it a link such as `/dev/mapper/root`.
    fn known(&self, path: &Path, names: &Names) -> Option<String> {
        let below = path.strip_prefix("/dev").ok()?;
        let real = std::fs::canonicalize(path);
        let below = real
            .as_ref()
            .map_or(below, |real| real.strip_prefix("/dev").unwrap_or(real));
        let name = below.to_str()?.replace('/', "!");
        let there = names.disks.contains_key(&name) || self.sys.join(&name).exists();
        there.then_some(name)
    }

    /// The disks that a device is made of, in the end.
    fn below(
        &self,
        device: &str,
        names: &Names,
        seen: &mut BTreeSet<String>,
    ) -> Result<BTreeSet<String>> {
        let disk = names.disks.get(device).map_or(device, |disk| disk);
        let mut found = BTreeSet::from([disk.to_owned()]);
        if seen.insert(disk.to_owned()) {
            for slave in entries(&self.sys.join(disk).join("slaves"))? {
                found.extend(self.below(&slave, names, seen)?);
            }
        }
        Ok(found)
    }

    /// What people call a device: a mapped one by the name that it was given.
    fn title(&self, device: &str) -> String {
        let name = text(&self.sys.join(device).join("dm/name"));
        if name.is_empty() {
            device.to_owned()
        } else {
            format!("mapper/{name}")
        }
    }
}

/// What kind of disk it is, by where it hangs.
fn kind(folder: &Path) -> Kind {
    let place = std::fs::canonicalize(folder).unwrap_or_default();
    let hangs_on = |bus: &str| {
        place
            .components()
            .any(|part| part.as_os_str().to_string_lossy().starts_with(bus))
    };
    if place.components().any(|part| part.as_os_str() == "virtual") {
        Kind::Virtual
    } else if hangs_on("usb")
        || text(&folder.join("removable")) == "1"
        // An `MMC` is soldered in.
        || text(&folder.join("device/type")) == "SD"
    {
        Kind::Portable
    } else {
        Kind::Fixed
    }
}

fn partitions_of(folder: &Path) -> Result<Vec<String>> {
    let mut names = entries(folder)?;
    names.retain(|name| folder.join(name).join("partition").exists());
    // `sda2` before `sda10`.
    names.sort_by_key(|name| (name.len(), name.clone()));
    Ok(names)
}

/// Names in a folder, in order; none when there is no such folder.
fn entries(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    match fs_err::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
        Ok(listed) => {
            for entry in listed {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// A file of one line; empty when it is not there, as many are not for many kinds of disks.
fn text(path: &Path) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A machine in a folder, laid out as `/sys` is: links from `block/` into `devices/`.
    struct Fake(tempfile::TempDir);

    impl Fake {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["block", "udev"] {
                fs::create_dir(folder.path().join(name)).unwrap();
            }
            Self(folder)
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }

        /// A disk at `place` below `devices/` with its partitions, in MiB.
        fn disk(&self, place: &str, dev: &str, mib: u64, parts: &[(&str, &str, u64)]) {
            let name = place.rsplit('/').next().unwrap();
            let at = format!("devices/{place}");
            self.put(&format!("{at}/dev"), dev);
            self.put(&format!("{at}/size"), &(mib * 2048).to_string());
            self.put(&format!("{at}/ro"), "0");
            self.put(&format!("{at}/queue/logical_block_size"), "512");
            for (part, dev, mib) in parts {
                self.put(&format!("{at}/{part}/partition"), "1");
                self.put(&format!("{at}/{part}/dev"), dev);
                self.put(&format!("{at}/{part}/size"), &(mib * 2048).to_string());
            }
            let link = self.0.path().join("block").join(name);
            symlink(format!("../devices/{place}"), link).unwrap();
        }

        /// `upper` is made of `lower`, a disk or `disk/partition`.
        fn over(&self, upper: &str, lower: &str) {
            let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
            self.put(&format!("block/{upper}/slaves/{}/dev", name(lower)), "x");
            self.put(&format!("block/{lower}/holders/{upper}/dev"), "x");
        }

        fn disks(&self, mounts: &str, swaps: &str) -> Vec<Disk> {
            let system = System {
                sys: self.0.path().join("block"),
                udev: self.0.path().join("udev"),
                mounts: mounts.into(),
                swaps: format!("Filename Type Size Used Priority\n{swaps}"),
            };
            system.disks().unwrap()
        }
    }

    const USB: &str =
        "pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb";
    const SATA: &str = "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";

    fn with_two() -> Fake {
        let fake = Fake::new();
        fake.disk(
            SATA,
            "8:0",
            1000,
            &[("sda1", "8:1", 100), ("sda2", "8:2", 900)],
        );
        fake.put("block/sda/device/vendor", "ATA     ");
        fake.put("block/sda/device/model", "Samsung SSD 860");
        fake.disk(
            USB,
            "8:16",
            8000,
            &[
                ("sdb1", "8:17", 64),
                ("sdb10", "8:26", 9),
                ("sdb2", "8:18", 1),
            ],
        );
        fake.put("block/sdb/device/vendor", "SanDisk ");
        fake.put("block/sdb/device/model", "Ultra Fit       ");
        fake.put(
            "block/sdb/sdb1/uevent",
            "DEVNAME=sdb1\nPARTNAME=CLAWDIE-SEED",
        );
        fake.put("block/sdb/sdb2/uevent", "DEVNAME=sdb2\nPARTNAME=bootfs");
        fake.put(
            "udev/b8:17",
            "S:disk/by-label/X\nE:ID_FS_LABEL=CLAWDIESEED\nE:ID_FS_TYPE=vfat",
        );
        fake
    }

    fn named<'a>(disks: &'a [Disk], name: &str) -> &'a Disk {
        let path = Path::new("/dev").join(name);
        disks.iter().find(|disk| disk.path == path).unwrap()
    }

    fn mounted(device: &str, at: &str) -> Use {
        Use::Mounted {
            device: device.into(),
            at: at.into(),
        }
    }

    #[test]
    fn a_stick_and_a_disk_are_told_apart_and_described() {
        let fake = with_two();
        fake.put("block/sdb/ro", "1");
        fake.disk("virtual/block/loop0", "7:0", 0, &[]);
        fake.disk("pci/nvme0c0n1", "259:9", 5, &[]);
        fake.put("block/nvme0c0n1/hidden", "1");
        fake.disk("pci/ata2/sr0", "11:0", 1024, &[]);
        fake.put("block/sr0/removable", "1");
        let disks = fake.disks("", "");
        assert_eq!(disks.len(), 2, "{disks:?}");
        let (disk, stick) = (named(&disks, "sda"), named(&disks, "sdb"));
        assert_eq!((disk.kind, &*disk.model), (Kind::Fixed, "Samsung SSD 860"));
        assert_eq!(
            (stick.kind, &*stick.model),
            (Kind::Portable, "SanDisk Ultra Fit")
        );
        assert_eq!((disk.read_only, stick.read_only), (false, true));
        assert_eq!((stick.bytes, stick.sector), (8000 << 20, 512));
        let parts: Vec<_> = stick
            .partitions
            .iter()
            .map(|part| (&*part.name, part.bytes >> 20, part.label.as_deref()))
            .collect();
        assert_eq!(
            parts,
            [
                ("sdb1", 64, Some("CLAWDIESEED")),
                ("sdb2", 1, Some("bootfs")),
                ("sdb10", 9, None)
            ]
        );
        assert_eq!((&*disk.uses, &*stick.uses), (&[][..], &[][..]));
    }

    #[test]
    fn cards_and_removable_disks_are_portable() {
        let fake = Fake::new();
        for (name, file, text, kind) in [
            ("mmcblk0", "device/type", "SD", Kind::Portable),
            ("mmcblk1", "device/type", "MMC", Kind::Fixed),
            ("sdz", "removable", "1", Kind::Portable),
            ("sdy", "removable", "0", Kind::Fixed),
        ] {
            fake.disk(&format!("pci/{name}"), name, 1, &[]);
            fake.put(&format!("block/{name}/{file}"), text);
            assert_eq!(named(&fake.disks("", ""), name).kind, kind, "{name}");
        }
        fake.disk("virtual/block/loop3", "7:3", 5, &[]);
        assert_eq!(named(&fake.disks("", ""), "loop3").kind, Kind::Virtual);
    }

    #[test]
    fn mounts_are_found_by_number_and_by_name() {
        let fake = with_two();
        let mounts = "\
22 1 0:21 / /proc rw - proc proc rw
27 1 8:2 / / rw,relatime shared:1 - ext4 /dev/root rw
31 27 8:17 / /media/my\\040stick rw shared:9 master:2 - vfat /dev/sdb1 rw
32 27 0:44 /@home /home rw - btrfs /dev/sda1 rw
33 27 0:45 / /nowhere rw - fuse.sshfs host:/dev/sdb1 rw
cut off";
        let disks = fake.disks(mounts, "");
        assert_eq!(
            named(&disks, "sdb").uses,
            [mounted("sdb1", "/media/my stick")]
        );
        assert_eq!(
            named(&disks, "sda").uses,
            [mounted("sda2", "/"), mounted("sda1", "/home")]
        );
    }

    #[test]
    fn the_system_is_followed_through_raid_encryption_and_volumes() {
        let fake = with_two();
        fake.disk("virtual/block/md0", "9:0", 900, &[]);
        fake.disk("virtual/block/dm-0", "253:0", 900, &[]);
        fake.disk("virtual/block/dm-1", "253:1", 900, &[]);
        fake.put("block/dm-1/dm/name", "vg-root");
        fake.over("md0", "sda/sda2");
        fake.over("md0", "sdb/sdb2");
        fake.over("dm-0", "md0");
        fake.over("dm-1", "dm-0");
        let mounts = "27 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw";
        let disks = fake.disks(mounts, "");
        for name in ["sda", "sdb", "md0", "dm-0", "dm-1"] {
            let disk = named(&disks, name);
            assert_eq!(disk.uses, [mounted("mapper/vg-root", "/")], "{name}");
            assert!(
                disk.objections(None, true)[0]
                    .why
                    .contains("running system")
            );
        }
        // Open, but mounted nowhere.
        let disks = fake.disks("", "");
        let held = |by: &str| [Use::Held { by: by.into() }];
        assert_eq!(named(&disks, "sdb").uses, held("md0"));
        assert_eq!(named(&disks, "dm-0").uses, held("mapper/vg-root"));
    }

    #[test]
    fn swap_counts_on_a_partition_and_through_a_volume() {
        let fake = with_two();
        fake.disk("virtual/block/dm-0", "253:0", 900, &[]);
        fake.put("block/dm-0/dm/name", "swap");
        fake.over("dm-0", "sda/sda1");
        let swaps = "/dev/sdb10   partition 100 0 -2\n/dev/dm-0 partition 5 0 -3\n/swap\\040file file 1 0 -4";
        let disks = fake.disks("", swaps);
        let swap = |device: &str| {
            [Use::Swap {
                device: device.into(),
            }]
        };
        assert_eq!(named(&disks, "sdb").uses, swap("sdb10"));
        assert_eq!(named(&disks, "sda").uses, swap("mapper/swap"));
    }

    #[test]
    fn a_circle_of_devices_ends() {
        let fake = Fake::new();
        fake.disk("virtual/block/dm-0", "253:0", 1, &[]);
        fake.disk("virtual/block/dm-1", "253:1", 1, &[]);
        fake.over("dm-0", "dm-1");
        fake.over("dm-1", "dm-0");
        let disks = fake.disks("27 1 253:1 / /mnt rw - ext4 x rw", "");
        assert_eq!(disks.len(), 2);
        assert!(disks.iter().all(|disk| disk.uses.len() == 1));
    }

    /// Whatever this machine is, nobody may flash the disk that it runs from.
    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_is_read() {
        let system = System::running().unwrap();
        let disks = system.disks().unwrap();
        let root = system
            .mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .rfind(|fields| fields[4] == "/")
            .unwrap();
        let on_a_disk = system.names().unwrap().numbers.contains_key(root[2]);
        let system_disk = disks.iter().any(|disk| {
            let objections = disk.objections(None, true);
            objections
                .iter()
                .any(|found| found.why.contains("running system"))
        });
        // A container's root lies on no disk that it can see.
        assert!(system_disk || !on_a_disk, "{disks:?}");
    }
}
