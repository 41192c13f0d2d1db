//! What the kernel tells of the machine: sysctl, the boot loader's environment (SMBIOS is in it), GEOM and ifconfig.

use std::collections::BTreeMap;

use super::disk::root_mount;
use super::{Command, Freebsd, Processes, geom};
use crate::facts::{Disk, Interface, Survey, System};

/// One question for all; `-i` passes over what a kernel does not know.
const SYSCTL: [&str; 9] = [
    "sysctl",
    "-ie",
    "kern.osrelease",
    "hw.machine_arch",
    "hw.model",
    "hw.ncpu",
    "hw.physmem",
    "machdep.bootmethod",
    "kern.vm_guest",
];

impl<P: Processes> Freebsd<P> {
    pub(super) fn find_out(&self) -> Survey {
        let kernel = assignments(&self.says(&SYSCTL));
        let loader = assignments(&self.says(&["kenv"]));
        let of = |table: &BTreeMap<String, String>, name: &str| {
            table.get(name).cloned().unwrap_or_default()
        };
        let guest = of(&kernel, "kern.vm_guest");
        let maker = of(&loader, "smbios.system.maker");
        let product = of(&loader, "smbios.system.product");
        let mut survey = Survey {
            system: System {
                flavour: "freebsd".into(),
                release: format!("FreeBSD {}", self.says(&["freebsd-version", "-u"]).trim()),
                kernel: of(&kernel, "kern.osrelease"),
                architecture: of(&kernel, "hw.machine_arch"),
                machine: format!("{maker} {product}").trim().into(),
                cpu: of(&kernel, "hw.model"),
                cpus: of(&kernel, "hw.ncpu").parse().unwrap_or_default(),
                memory: of(&kernel, "hw.physmem").parse().unwrap_or_default(),
                firmware: of(&kernel, "machdep.bootmethod").to_ascii_lowercase(),
                virtualisation: (!guest.is_empty() && guest != "none").then_some(guest),
                ..System::default()
            },
            ..Survey::default()
        };
        for name in [
            "smbios.system.uuid",
            "smbios.system.serial",
            "smbios.planar.product",
            "smbios.planar.serial",
        ] {
            survey.ids.insert(name.into(), of(&loader, name));
        }
        self.add_disks(&mut survey);
        for interface in interfaces(&self.says(&["ifconfig", "-a"])) {
            // A radio's is made from its device by rc, and so not there in every boot; what hangs on USB goes from machine
            // to machine.
            if !["wlan", "ue"]
                .iter()
                .any(|kind| interface.name.starts_with(kind))
            {
                let mac = interface.mac.clone();
                survey.ids.insert(format!("mac {mac}"), mac);
            }
            survey.system.interfaces.push(interface);
        }
        survey
    }

    /// What a program prints; nothing when it fails.
    fn says(&self, argv: &[&str]) -> String {
        let command = Command::new(argv.iter().copied());
        self.machine
            .processes
            .demand(&command)
            .map(|output| output.stdout)
            .unwrap_or_default()
    }

    fn add_disks(&self, survey: &mut Survey) {
        let mounted = self.mounted().unwrap_or_default();
        let root = root_mount(&mounted).and_then(|root| root.device.strip_prefix("/dev/"));
        let xml = self.says(&["sysctl", "-n", "kern.geom.confxml"]);
        for disk in geom::disks(&xml).unwrap_or_default() {
            // An empty card reader has a device and no disk; memory disks come and go.
            if disk.bytes == 0 || disk.name.starts_with("md") {
                continue;
            }
            let mut parts = disk.partitions.iter();
            if root.is_some_and(|root| parts.any(|part| part.bytes_as(root).is_some())) {
                let id = disk
                    .serial
                    .unwrap_or_else(|| format!("{} {}", disk.model, disk.bytes));
                survey.ids.insert("root disk".into(), id);
            }
            survey.system.disks.push(Disk {
                path: format!("/dev/{}", disk.name),
                bytes: disk.bytes,
                model: disk.model,
            });
        }
    }
}

/// `name=value` and `name="value"`, as sysctl and kenv print.
fn assignments(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim().trim_matches('"').to_owned()))
        .collect()
}

/// Interfaces that are made by software, and so are no part of the machine.
const MADE: [&str; 10] = [
    "bridge", "tap", "tun", "epair", "vlan", "lagg", "gif", "wg", "vnet", "lo",
];

/// Those with a hardware address, from `ifconfig -a`.
fn interfaces(text: &str) -> Vec<Interface> {
    let mut found: Vec<Interface> = Vec::new();
    let mut name = None;
    for line in text.lines() {
        if let Some((start, _)) = line.split_once(": ")
            && !line.starts_with(char::is_whitespace)
        {
            let is_made = MADE.iter().any(|made| {
                start
                    .strip_prefix(made)
                    .is_some_and(|number| number.parse::<u32>().is_ok())
            });
            name = (!is_made).then(|| start.to_owned());
        } else if let Some(mac) = line.trim().strip_prefix("ether ")
            && let Some(name) = name.take()
        {
            found.push(Interface {
                name,
                mac: mac.trim().to_owned(),
            });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_hardware_are_told_from_those_of_software() {
        let text = include_str!("transcripts/ifconfig.txt");
        let found: Vec<(String, String)> = interfaces(text)
            .into_iter()
            .map(|interface| (interface.name, interface.mac))
            .collect();
        assert_eq!(
            found,
            [
                ("em0".to_owned(), "52:54:00:12:34:56".to_owned()),
                ("igc0".to_owned(), "a8:b8:e0:01:02:03".to_owned()),
                ("wlan0".to_owned(), "0c:7a:15:aa:bb:cc".to_owned()),
            ]
        );
        assert_eq!(interfaces(""), []);
    }
}
