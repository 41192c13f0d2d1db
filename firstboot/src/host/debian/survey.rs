//! What the kernel tells of the machine, in `/sys` and `/proc`: no udev queue is waited for, and nothing is run but
//! systemd's own detection of virtual machines.

use std::fs;

use super::places::assigned;
use super::{Command, Debian, Processes};
use crate::facts::{Disk, Interface, Survey, System};

/// Block devices that are no disks of the machine: loops, RAM, optical drives, floppies, and what is made of others.
const NO_DISKS: [&str; 8] = ["loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd"];

impl<P: Processes> Debian<P> {
    pub(super) fn find_out(&self) -> Survey {
        let mut survey = Survey {
            system: System {
                flavour: "debian".into(),
                release: assigned(&self.line("/etc/os-release"), "PRETTY_NAME")
                    .unwrap_or_default()
                    .into(),
                kernel: self.line("/proc/sys/kernel/osrelease"),
                architecture: std::env::consts::ARCH.into(),
                machine: format!("{} {}", self.dmi("sys_vendor"), self.dmi("product_name"))
                    .trim()
                    .into(),
                firmware: if self.machine.at("/sys/firmware/efi").is_dir() {
                    "uefi".into()
                } else {
                    "bios".into()
                },
                virtualisation: self.virtualisation(),
                ..System::default()
            },
            ..Survey::default()
        };
        for name in [
            "product_uuid",
            "product_serial",
            "board_name",
            "board_serial",
        ] {
            survey.ids.insert(name.into(), self.dmi(name));
        }
        self.add_processors(&mut survey.system);
        self.add_disks(&mut survey);
        self.add_interfaces(&mut survey);
        survey
    }

    /// A small file's text, trimmed; empty when there is none or it is closed to us.
    fn line(&self, path: &str) -> String {
        let text = self.machine.text_at(path).ok().flatten();
        text.unwrap_or_default().trim().to_owned()
    }

    fn dmi(&self, name: &str) -> String {
        self.line(&format!("/sys/class/dmi/id/{name}"))
    }

    fn names(&self, folder: &str) -> Vec<String> {
        self.machine.list(folder.as_ref()).unwrap_or_default()
    }

    fn virtualisation(&self) -> Option<String> {
        let asked = Command::new(["systemd-detect-virt", "--vm"]);
        let answer = self.machine.processes.run(&asked).ok()?.stdout;
        // It prints `none` on a real machine.
        let name = answer.trim();
        (!name.is_empty() && name != "none").then(|| name.to_owned())
    }

    fn add_processors(&self, system: &mut System) {
        let processors = self.line("/proc/cpuinfo");
        let values = |name: &'static str| {
            processors.lines().filter_map(move |line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then_some(value.trim())
            })
        };
        system.cpu = values("model name").next().unwrap_or_default().into();
        system.cpus = values("processor").count().try_into().unwrap_or_default();
        let memory = self.line("/proc/meminfo");
        let kibibytes = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|number| number.trim().parse::<u64>().ok());
        system.memory = kibibytes.unwrap_or_default() * 1024;
    }

    fn add_disks(&self, survey: &mut Survey) {
        let root = self.root_block_device();
        for name in self.names("/sys/block") {
            if NO_DISKS.iter().any(|start| name.starts_with(start)) {
                continue;
            }
            let at = |file: &str| self.line(&format!("/sys/block/{name}/{file}"));
            // Counted in units of 512 bytes, whatever the disk's own sectors are.
            let bytes = at("size").parse::<u64>().unwrap_or_default() * 512;
            // An empty card reader has a device and no disk.
            if bytes == 0 {
                continue;
            }
            let model = at("device/model");
            if root.as_deref() == Some(&*name) {
                let id = ["wwid", "device/wwid", "serial", "device/serial"]
                    .iter()
                    .map(|file| at(file))
                    .find(|id| !id.is_empty());
                survey.ids.insert(
                    "root disk".into(),
                    id.unwrap_or_else(|| format!("{model} {bytes}")),
                );
            }
            survey.system.disks.push(Disk {
                path: format!("/dev/{name}"),
                bytes,
                model,
            });
        }
    }

    /// The disk under `/`, by its name in `/sys/block`.
    fn root_block_device(&self) -> Option<String> {
        let mounts = self.line("/proc/self/mountinfo");
        let number = mounts.lines().find_map(|line| {
            // `36 35 98:0 /root /point options`.
            let words: Vec<&str> = line.split(' ').collect();
            (words.get(4) == Some(&"/")).then(|| words[2].to_owned())
        })?;
        // `../../devices/pci…/nvme0n1/nvme0n1p2`: a partition lies below its disk.
        let link = fs::read_link(self.machine.at(format!("/sys/dev/block/{number}"))).ok()?;
        let disks = self.names("/sys/block");
        let mut parts = link.iter().rev();
        parts.find_map(|part| {
            let part = part.to_string_lossy();
            disks.iter().find(|disk| **disk == part).cloned()
        })
    }

    /// Those with hardware behind them: bridges and tunnels have no `device`.
    fn add_interfaces(&self, survey: &mut Survey) {
        for name in self.names("/sys/class/net") {
            let folder = format!("/sys/class/net/{name}");
            let mac = self.line(&format!("{folder}/address"));
            if mac.is_empty()
                || fs::symlink_metadata(self.machine.at(format!("{folder}/device"))).is_err()
            {
                continue;
            }
            // Of wired cards inside the drivers come first of all (systemd-udev-trigger.service.d). A radio's comes at any
            // time, and what hangs on USB goes from machine to machine.
            if !self.is_radio(&folder) && !self.hangs_on_usb(&folder) {
                survey.ids.insert(format!("mac {mac}"), mac.clone());
            }
            survey.system.interfaces.push(Interface { name, mac });
        }
    }

    fn is_radio(&self, card: &str) -> bool {
        self.machine.at(format!("{card}/phy80211")).exists()
    }

    fn hangs_on_usb(&self, card: &str) -> bool {
        let bus = fs::read_link(self.machine.at(format!("{card}/device/subsystem")));
        bus.is_ok_and(|bus| bus.ends_with("usb"))
    }
}
