//! What hardware an image is put into.

use std::ffi::{OsStr, OsString};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::running::Running;
use super::{Accel, Firmware, QEMU, Uefi, not_started};
use crate::{Error, ErrorKind, Result, ResultExt as _};

/// How the disk hangs on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attach {
    /// A USB stick on an xHCI controller: how the image is meant to start.
    #[default]
    UsbStick,
    /// An NVMe drive.
    Nvme,
    /// A disk of a cloud machine.
    Virtio,
}

/// What becomes of what the machine writes to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writes {
    /// It goes to a copy-on-write layer that ends with the machine; the image stays as it is.
    #[default]
    Discarded,
    /// It changes the image.
    Kept,
}

/// What the machine's network card leads to. If it has one, the guest is reached by ssh on a port of
/// 127.0.0.1, and from nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// All that the host reaches, the host itself included.
    #[default]
    Outside,
    /// Nothing beyond its own DHCP server: for tests, which must not depend on more.
    Isolated,
    /// No card at all: the machine can be seen on its console only.
    NoCard,
}

/// A machine, switched off.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The disk image (raw).
    pub image: PathBuf,
    /// How it is attached.
    pub attach: Attach,
    /// What starts it.
    pub firmware: Firmware,
    /// Whether the image changes.
    pub writes: Writes,
    /// Further USB sticks (raw images), attached the same way as to `writes`.
    pub sticks: Vec<PathBuf>,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors, where they are real ones: a translated machine has one.
    pub cpus: u32,
    /// What the network leads to.
    pub network: Network,
    /// Port of 127.0.0.1 that leads to the guest's ssh; `None` takes a free one.
    pub ssh_port: Option<u16>,
    /// What its clock says (UTC) when it is switched on, such as `2001-01-01T00:00:00`; `None` is now.
    pub clock: Option<String>,
}

/// Files of one start of a machine; they go when it ends.
pub(super) struct Places {
    folder: tempfile::TempDir,
    uefi: Option<Uefi>,
}

impl Places {
    pub(super) fn control_socket(&self) -> PathBuf {
        self.folder.path().join("qmp")
    }

    pub(super) fn complaints(&self) -> PathBuf {
        self.folder.path().join("qemu.err")
    }
}

impl Machine {
    /// A small machine that starts `image` from a USB stick by UEFI and leaves it unchanged.
    pub fn new(image: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            attach: Attach::default(),
            firmware: Firmware::default(),
            writes: Writes::default(),
            sticks: Vec::new(),
            memory: 1024,
            cpus: 2,
            network: Network::default(),
            ssh_port: None,
            clock: None,
        }
    }

    /// Starts it with its serial line captured, into memory and into the file `log`.
    ///
    /// A restart of the guest ends the machine instead: nobody waits for a boot loop.
    ///
    /// # Errors
    /// The image, QEMU or its firmware is missing, or QEMU does not start.
    pub fn start(&self, log: &Path) -> Result<Running> {
        let places = self.prepare()?;
        let port = self.port()?;
        let mut command = self.command(Accel::probe()?, &places, port);
        let complaints = fs_err::File::create(places.complaints())?;
        command
            .args(["-no-reboot", "-monitor", "none"])
            .args(["-chardev", "stdio,id=line,signal=off"])
            .args(["-serial", "chardev:line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints.into_file());
        let child = command.spawn().map_err(not_started)?;
        Running::new(child, places, port, log)
    }

    /// Runs it with its serial line on this terminal, until it is switched off or the person at
    /// the keyboard leaves with Ctrl-A X. `before` is told the port for ssh, just before the start.
    ///
    /// # Errors
    /// As [`Machine::start`].
    pub fn run_on_terminal(&self, before: impl FnOnce(u16, Accel)) -> Result<ExitStatus> {
        let places = self.prepare()?;
        let port = self.port()?;
        let accel = Accel::probe()?;
        let mut command = self.command(accel, &places, port);
        command.args(["-serial", "mon:stdio"]);
        before(port, accel);
        command.status().map_err(not_started)
    }

    fn prepare(&self) -> Result<Places> {
        for image in std::iter::once(&self.image).chain(&self.sticks) {
            if !image.is_file() {
                return Err(
                    Error::missing(format!("there is no image `{}`", image.display()))
                        .hint("build one: `cargo xtask iso`"),
                );
            }
        }
        let folder = tempfile::Builder::new().prefix("clawdie-vm-").tempdir()?;
        let found = match self.firmware {
            Firmware::Bios => None,
            Firmware::Uefi => Some(Uefi::find()?),
            Firmware::SecureUefi => Some(Uefi::find_secure()?),
        };
        let uefi = match found {
            None => None,
            Some(found) => {
                let variables = folder.path().join("variables.fd");
                // Not `fs::copy`: the package's file is read-only, and the copy must not be.
                fs_err::write(&variables, fs_err::read(&found.variables)?)?;
                Some(Uefi {
                    code: found.code,
                    variables,
                })
            }
        };
        Ok(Places { folder, uefi })
    }

    fn port(&self) -> Result<u16> {
        let wanted = self.ssh_port.unwrap_or(0);
        TcpListener::bind(("127.0.0.1", wanted))
            .and_then(|listener| listener.local_addr())
            .map(|address| address.port())
            .or_error(ErrorKind::Failed, || {
                format!("port {wanted} of 127.0.0.1 cannot be used for ssh")
            })
            .map_err(|error| error.hint("choose another one with `--ssh-port`"))
    }

    fn command(&self, accel: Accel, places: &Places, ssh_port: u16) -> Command {
        let mut command = Command::new(QEMU);
        command.args(self.arguments(accel, places, ssh_port));
        command
    }

    /// The command line; files by name, never a setting's value.
    fn arguments(&self, accel: Accel, places: &Places, ssh_port: u16) -> Vec<OsString> {
        let mut list: Vec<OsString> = Vec::new();
        let mut add = |words: &[&dyn AsRef<OsStr>]| {
            list.extend(words.iter().map(|word| word.as_ref().to_owned()));
        };
        for word in accel.arguments() {
            add(&[&word]);
        }
        add(&[&"-name", &"clawdie", &"-nodefaults", &"-machine"]);
        if self.firmware == Firmware::SecureUefi {
            // The variables are out of the kernel's reach only in system management mode.
            add(&[&"q35,smm=on", &"-global"]);
            add(&[&"driver=cfi.pflash01,property=secure,value=on"]);
        } else {
            add(&[&"q35,smm=off"]);
        }
        add(&[&"-display", &"none", &"-vga", &"std"]);
        add(&[&"-m", &format!("{}M", self.memory)]);
        add(&[&"-smp", &accel.processors(self.cpus).to_string()]);
        let clock = self.clock.as_deref().unwrap_or("utc");
        add(&[&"-rtc", &format!("base={clock}")]);
        if let Some(uefi) = &places.uefi {
            add(&[
                &"-drive",
                &with_file("if=pflash,unit=0,format=raw,readonly=on", &uefi.code),
                &"-drive",
                &with_file("if=pflash,unit=1,format=raw", &uefi.variables),
            ]);
        }
        add(&[&"-device", &"qemu-xhci,id=usb"]);
        let device = match self.attach {
            Attach::UsbStick => "usb-storage,bus=usb.0,removable=on",
            Attach::Nvme => "nvme,serial=clawdie0",
            Attach::Virtio => "virtio-blk-pci",
        };
        add(&[
            &"-drive",
            &self.drive("disk", &self.image),
            &"-device",
            &format!("{device},drive=disk,bootindex=0"),
        ]);
        for (number, stick) in self.sticks.iter().enumerate() {
            let id = format!("stick{number}");
            add(&[
                &"-drive",
                &self.drive(&id, stick),
                &"-device",
                &format!("usb-storage,bus=usb.0,removable=on,drive={id}"),
            ]);
        }
        let card = |restrict| {
            format!(
                "user,model=virtio-net-pci,restrict={restrict},hostfwd=tcp:127.0.0.1:{ssh_port}-:22"
            )
        };
        let nic = match self.network {
            Network::Outside => card("off"),
            Network::Isolated => card("on"),
            Network::NoCard => "none".into(),
        };
        add(&[&"-nic", &nic]);
        let mut control = OsString::from("unix:");
        control.push(escaped(&places.control_socket()));
        control.push(",server=on,wait=off");
        add(&[&"-qmp", &control]);
        list
    }

    fn drive(&self, id: &str, image: &Path) -> OsString {
        // A layer that is thrown away needs no syncing; a real image does.
        let rest = match self.writes {
            Writes::Discarded => "snapshot=on,cache=unsafe",
            Writes::Kept => "cache=writeback",
        };
        with_file(&format!("if=none,id={id},format=raw,{rest}"), image)
    }
}

fn with_file(options: &str, file: &Path) -> OsString {
    let mut word = OsString::from(options);
    word.push(",file=");
    word.push(escaped(file));
    word
}

/// A path as QEMU's option lists want it: commas doubled.
pub(super) fn escaped(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(b',');
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(machine: &Machine) -> String {
        line_with(Accel::TcgWithoutCx16, machine)
    }

    fn line_with(accel: Accel, machine: &Machine) -> String {
        let places = Places {
            folder: tempfile::tempdir().unwrap(),
            uefi: (machine.firmware != Firmware::Bios).then(|| Uefi {
                code: "/code.fd".into(),
                variables: "/variables.fd".into(),
            }),
        };
        let words = machine.arguments(accel, &places, 2222);
        words.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn the_default_is_a_stick_by_uefi_that_stays_unchanged() {
        let line = line(&Machine::new("/a.img"));
        assert!(line.contains("usb-storage,bus=usb.0,removable=on,drive=disk,bootindex=0"));
        assert!(line.contains("unit=0,format=raw,readonly=on,file=/code.fd"));
        assert!(line.contains("snapshot=on,cache=unsafe,file=/a.img"));
        assert!(line.contains("restrict=off,hostfwd=tcp:127.0.0.1:2222-:22"));
        assert!(line.contains("-cpu max,-cx16"));
    }

    #[test]
    fn every_choice_reaches_the_command_line() {
        let line = line(&Machine {
            attach: Attach::Nvme,
            firmware: Firmware::Bios,
            writes: Writes::Kept,
            sticks: vec!["/second.img".into()],
            memory: 512,
            network: Network::Isolated,
            ..Machine::new("/a.img")
        });
        assert!(line.contains("nvme,serial=clawdie0,drive=disk,bootindex=0"));
        assert!(!line.contains("pflash") && !line.contains("snapshot"));
        assert!(line.contains("cache=writeback,file=/second.img"));
        assert!(line.contains("usb-storage,bus=usb.0,removable=on,drive=stick0"));
        assert!(line.contains("-m 512M -smp 1") && line.contains("restrict=on"));
        assert!(line.contains("-rtc base=utc"));
    }

    #[test]
    fn only_real_processors_are_several() {
        let machine = Machine::new("/a.img");
        assert!(line_with(Accel::Kvm, &machine).contains("-smp 2"));
        assert!(line_with(Accel::Tcg, &machine).contains("-smp 1"));
    }

    #[test]
    fn a_machine_may_have_a_dead_clock_and_no_network_card() {
        let line = line(&Machine {
            network: Network::NoCard,
            clock: Some("2001-01-01T00:00:00".into()),
            ..Machine::new("/a.img")
        });
        assert!(line.contains("-rtc base=2001-01-01T00:00:00 "));
        assert!(line.contains("-nic none") && !line.contains("hostfwd"));
    }

    #[test]
    fn secure_boot_keeps_its_variables_from_the_kernel() {
        let line = line(&Machine {
            firmware: Firmware::SecureUefi,
            ..Machine::new("/a.img")
        });
        assert!(line.contains("q35,smm=on -global driver=cfi.pflash01,property=secure,value=on"));
    }

    #[test]
    fn a_comma_in_a_path_does_not_end_the_option() {
        assert!(line(&Machine::new("/a,readonly=on.img")).contains("file=/a,,readonly=on.img"));
    }

    #[test]
    fn a_missing_image_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::new(folder.path().join("none.img"));
        let error = machine.start(&folder.path().join("log")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(error.to_string().contains("none.img"));
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let machine = Machine {
            ssh_port: Some(port),
            ..Machine::new("/a.img")
        };
        let error = machine.port().unwrap_err();
        assert!(error.to_string().contains(&port.to_string()));
    }
}
