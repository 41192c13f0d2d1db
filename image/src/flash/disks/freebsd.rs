//! FreeBSD: the kernel's GEOM (`kern.geom.confxml`), and `mount -p` for where file systems are mounted.
//!
//! GEOM is a mesh of providers (things with bytes) and geoms that consume some and provide others. What
//! sits on a disk, through partitions, labels, encryption and mirrors, is found by going up from it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Disk, Kind, Partition, Use, ask, unescape};
use crate::{ErrorKind, Result, ResultExt};

#[derive(Deserialize)]
struct Mesh {
    #[serde(default, rename = "class")]
    classes: Vec<Class>,
}

#[derive(Deserialize)]
struct Class {
    name: String,
    #[serde(default, rename = "geom")]
    geoms: Vec<Geom>,
}

#[derive(Deserialize)]
struct Geom {
    name: String,
    #[serde(default, rename = "consumer")]
    consumers: Vec<Consumer>,
    #[serde(default, rename = "provider")]
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
struct Consumer {
    provider: Option<Reference>,
    mode: String,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "@ref")]
    to: String,
}

#[derive(Deserialize)]
struct Provider {
    #[serde(rename = "@id")]
    id: String,
    name: String,
    #[serde(rename = "mediasize")]
    bytes: u64,
    #[serde(rename = "sectorsize")]
    sector: u64,
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    descr: Option<String>,
    label: Option<String>,
}

/// The disks of the running system.
pub(super) fn disks() -> Result<Vec<Disk>> {
    read(
        &ask("sysctl", &["-n", "kern.geom.confxml"])?,
        &ask("mount", &["-p"])?,
    )
}

fn read(xml: &str, mounts: &str) -> Result<Vec<Disk>> {
    // sysctl(3) strings end with a zero byte, which not every version of sysctl(8) leaves out.
    let mesh: Mesh = quick_xml::de::from_str(xml.trim_end_matches(['\0', '\n']))
        .or_error(ErrorKind::Failed, || {
            "the kernel's list of disks (sysctl kern.geom.confxml) cannot be read".into()
        })?;
    let mounts: Vec<(PathBuf, PathBuf)> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(unescape);
            Some((fields.next()?, fields.next()?))
        })
        .collect();
    let mut above: HashMap<&str, Vec<(&str, &Geom)>> = HashMap::new();
    for class in &mesh.classes {
        for geom in &class.geoms {
            for consumer in &geom.consumers {
                if let Some(below) = &consumer.provider {
                    above
                        .entry(&below.to)
                        .or_default()
                        .push((&class.name, geom));
                }
            }
        }
    }
    let climb = Climb { above, mounts };
    let mut disks = Vec::new();
    for class in &mesh.classes {
        let fixed = match &*class.name {
            "DISK" => Kind::Fixed,
            "MD" => Kind::Virtual,
            _ => continue,
        };
        for provider in class.geoms.iter().flat_map(|geom| &geom.providers) {
            let mut found = Disk {
                path: Path::new("/dev").join(&provider.name),
                bytes: provider.bytes,
                model: provider
                    .config
                    .as_ref()
                    .and_then(|config| config.descr.clone())
                    .unwrap_or_default(),
                kind: if is_portable(&provider.name) {
                    Kind::Portable
                } else {
                    fixed
                },
                // Only opening it to write tells.
                read_only: false,
                sector: provider.sector,
                partitions: Vec::new(),
                uses: Vec::new(),
            };
            climb.from(provider, &mut found, &mut HashSet::new());
            disks.push(found);
        }
    }
    disks.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(disks)
}

/// `da` are USB sticks and disks on SAS; GEOM does not tell them apart. `mmcsd` are cards.
fn is_portable(name: &str) -> bool {
    ["da", "mmcsd"].iter().any(|driver| {
        name.strip_prefix(driver)
            .is_some_and(|unit| !unit.is_empty() && unit.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// The way up from a provider to what uses it.
struct Climb<'a> {
    /// What sits on each provider.
    above: HashMap<&'a str, Vec<(&'a str, &'a Geom)>>,
    /// Device and mount point.
    mounts: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Climb<'a> {
    fn from(&self, provider: &'a Provider, disk: &mut Disk, seen: &mut HashSet<&'a str>) {
        if !seen.insert(&provider.id) {
            return;
        }
        for (class, geom) in self.above.get(&*provider.id).into_iter().flatten() {
            let device = provider.name.clone();
            match *class {
                // Opened through `/dev`: by a program, or by nobody at the moment.
                "DEV" if self.is_open(geom, provider) => disk.uses.push(Use::Held {
                    by: format!("a program that has `{device}` open"),
                }),
                "VFS" => {
                    let source = Path::new("/dev").join(&device);
                    let at = self.mounts.iter().find(|(from, _)| *from == source);
                    disk.uses.push(match at {
                        Some((_, at)) => Use::Mounted {
                            device,
                            at: at.clone(),
                        },
                        // Mounted under another of its names.
                        None => Use::Held {
                            by: format!("the file system `{}`", geom.name),
                        },
                    });
                }
                "SWAP" => disk.uses.push(Use::Swap { device }),
                "ZFS::VDEV" => disk.uses.push(Use::Held {
                    by: format!("a ZFS pool (`{device}`)"),
                }),
                "PART" => {
                    for entry in &geom.providers {
                        disk.partitions.push(Partition {
                            name: entry.name.clone(),
                            bytes: entry.bytes,
                            label: entry
                                .config
                                .as_ref()
                                .and_then(|config| config.label.clone()),
                        });
                        self.from(entry, disk, seen);
                    }
                }
                // Labels, and whatever else hands bytes on.
                _ => {
                    for upper in &geom.providers {
                        self.from(upper, disk, seen);
                    }
                }
            }
        }
    }

    /// Is it open for writing, or to the exclusion of others? `r1w1e1`
    fn is_open(&self, geom: &Geom, provider: &Provider) -> bool {
        geom.consumers
            .iter()
            .filter(|consumer| {
                consumer
                    .provider
                    .as_ref()
                    .is_some_and(|to| to.to == provider.id)
            })
            .any(|consumer| !consumer.mode.ends_with("w0e0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What firstboot is tested with, too: `da0` runs, `da1` has our image, `da2` nothing.
    const STICKS: &str = include_str!(
        "../../../../firstboot/src/host/freebsd/transcripts/geom-stick-and-others.xml"
    );
    const MOUNTS: &str =
        include_str!("../../../../firstboot/src/host/freebsd/transcripts/mount.txt");

    fn named<'a>(disks: &'a [Disk], name: &str) -> &'a Disk {
        let path = Path::new("/dev").join(name);
        disks.iter().find(|disk| disk.path == path).unwrap()
    }

    #[test]
    fn sticks_and_disks_are_described() {
        let disks = read(STICKS, MOUNTS).unwrap();
        let names: Vec<_> = disks
            .iter()
            .map(|disk| disk.path.to_str().unwrap())
            .collect();
        assert_eq!(names, ["/dev/da0", "/dev/da1", "/dev/da2", "/dev/nda0"]);
        let stick = named(&disks, "da1");
        assert_eq!(stick.model, "Kingston DataTraveler & Co");
        assert_eq!((stick.bytes, stick.sector), (8 << 30, 512));
        assert_eq!(
            (stick.kind, named(&disks, "nda0").kind),
            (Kind::Portable, Kind::Fixed)
        );
        assert_eq!(stick.partitions.last().unwrap().name, "da1p4");
        assert_eq!(
            stick.partitions.last().unwrap().label.as_deref(),
            Some("rootfs")
        );
        assert_eq!(
            (&*stick.uses, &*named(&disks, "da2").partitions),
            (&[][..], &[][..])
        );
    }

    #[test]
    fn the_running_system_is_found_through_labels() {
        let disks = read(STICKS, MOUNTS).unwrap();
        let running = named(&disks, "da0");
        assert_eq!(
            running.uses,
            [Use::Mounted {
                device: "gpt/rootfs".into(),
                at: "/".into()
            }]
        );
        assert!(
            running.objections(None, true)[0]
                .why
                .contains("running system")
        );
    }

    #[test]
    fn swap_pools_and_open_devices_hold_a_disk() {
        let uses = |class: &str, mode: &str| {
            let xml = format!(
                "<mesh><class><name>DISK</name><geom><name>ada0</name><provider id=\"1\"><name>ada0</name>\
                 <mediasize>9</mediasize><sectorsize>512</sectorsize></provider></geom></class>\
                 <class><name>ELI</name><geom><name>e</name><consumer><provider ref=\"1\"/><mode>r1w1e1</mode>\
                 </consumer><provider id=\"2\"><name>ada0.eli</name><mediasize>9</mediasize>\
                 <sectorsize>512</sectorsize></provider></geom></class>\
                 <class><name>{class}</name><geom><name>top</name><consumer><provider ref=\"2\"/>\
                 <mode>{mode}</mode></consumer></geom></class></mesh>\n\0"
            );
            read(&xml, "").unwrap().remove(0).uses
        };
        let held = |by: &str| [Use::Held { by: by.into() }];
        let device = "ada0.eli".to_owned();
        assert_eq!(uses("SWAP", "r1w1e0"), [Use::Swap { device }]);
        assert_eq!(uses("ZFS::VDEV", "r1w1e1"), held("a ZFS pool (`ada0.eli`)"));
        assert_eq!(uses("VFS", "r1w1e1"), held("the file system `top`"));
        assert_eq!(
            uses("DEV", "r1w1e0"),
            held("a program that has `ada0.eli` open")
        );
        assert_eq!(uses("DEV", "r1w0e0"), []);
    }

    #[test]
    fn nonsense_is_told() {
        assert_eq!(read("<mesh></mesh>", "").unwrap(), []);
        for nonsense in ["", "<mesh", "<mesh><class><geom/></class></mesh>"] {
            assert!(read(nonsense, "").is_err(), "{nonsense}");
        }
    }
}
