//! A machine that is switched on.

use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use super::machine::Places;
use super::{Console, qmp};
use crate::{Error, Result};

/// How long a guest may show no sign of having heard its power button.
const PRESS_AGAIN: Duration = Duration::from_secs(30);

/// A machine that is switched on, with its serial line captured; dropping it pulls the plug.
pub struct Running {
    child: Child,
    console: Console,
    places: Places,
    ssh_port: u16,
}

impl Running {
    pub(super) fn new(mut child: Child, places: Places, ssh_port: u16, log: &Path) -> Result<Self> {
        let console = match (child.stdout.take(), child.stdin.take()) {
            (Some(output), Some(keyboard)) => Console::new(output, keyboard, log),
            _ => Err(Error::failed("QEMU's serial line is not connected")),
        };
        match console {
            Ok(console) => Ok(Self {
                child,
                console,
                places,
                ssh_port,
            }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// The serial line.
    pub fn console(&mut self) -> &mut Console {
        &mut self.console
    }

    /// The port of 127.0.0.1 that leads to the guest's ssh.
    pub fn ssh_port(&self) -> u16 {
        self.ssh_port
    }

    /// QEMU's process id.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Presses the power button and waits until the guest has shut down.
    ///
    /// # Errors
    /// The guest did not within `limit` (it is then killed), or QEMU ended badly.
    pub fn power_off(mut self, limit: Duration) -> Result<()> {
        let mut left = limit;
        qmp::command(&self.places.control_socket(), "system_powerdown")?;
        // A guest that is still finding its devices may not have heard: a person presses again.
        while left > PRESS_AGAIN && self.exit_within(PRESS_AGAIN)?.is_none() {
            left -= PRESS_AGAIN;
            // It may be gone by now.
            let _ = qmp::command(&self.places.control_socket(), "system_powerdown");
        }
        self.wait_until_off(left)
    }

    /// Waits until the guest, which was told so by other means, has shut down.
    ///
    /// # Errors
    /// As [`Running::power_off`].
    pub fn wait_until_off(mut self, limit: Duration) -> Result<()> {
        match self.exit_within(limit)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Error::failed(format!(
                "QEMU ended with {status}: {}",
                self.complaints()
            ))),
            None => Err(Error::failed(format!(
                "the machine was not off after {} s; the console's last lines:\n{}",
                limit.as_secs(),
                self.console.tail()
            ))),
        }
    }

    /// Pulls the plug: what a power cut does to the guest.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn cut_power(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// What QEMU itself complained about so far.
    pub fn complaints(&self) -> String {
        fs_err::read_to_string(self.places.complaints()).unwrap_or_default()
    }

    fn exit_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::qemu::{Attach, Firmware, Machine, Writes};

    /// A whole operating system: says `clawdie login: ` on COM1, then echoes what is typed.
    const ECHO: &[u8] = &[
        0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, // xor ax, ax; mov ds, ax; mov ss, ax
        0xbc, 0x00, 0x7c, // mov sp, 0x7c00
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xbe, 0x2f, 0x7c, // mov si, 0x7c2f
        0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8, // until 0: lodsb; out dx, al
        0x83, 0xc2, 0x05, 0xec, 0xa8, 0x01, 0x74, 0xfb, // wait for a byte
        0x83, 0xea, 0x05, 0xec, // in al, dx
        0x3c, 0x21, 0x74, 0x03, // `!` stops
        0xee, 0xeb, 0xed, // out dx, al; again
        0xb0, 0x00, 0xe6, 0xf4, 0xf4, // hlt
    ];

    fn echo_disk(folder: &Path) -> PathBuf {
        let mut disk = ECHO.to_vec();
        disk.extend_from_slice(b"clawdie login: \0");
        disk.resize(510, 0);
        disk.extend_from_slice(&[0x55, 0xaa]);
        disk.resize(1 << 20, 0);
        let path = folder.join("echo, with a comma.img");
        fs_err::write(&path, disk).unwrap();
        path
    }

    const LONG: Duration = Duration::from_secs(180);

    fn reads_and_types(attach: Attach) {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine {
            attach,
            firmware: Firmware::Bios,
            memory: 64,
            cpus: 1,
            writes: Writes::Discarded,
            ..Machine::new(echo_disk(folder.path()))
        };
        let log = folder.path().join("log");
        let mut running = machine.start(&log).unwrap();
        running.console().wait_for("login: ", LONG).unwrap();
        running.console().type_text("typed").unwrap();
        running.console().wait_for("typed", LONG).unwrap();
        qmp::command(&running.places.control_socket(), "quit").unwrap();
        running.wait_until_off(LONG).unwrap();
        assert_eq!(
            fs_err::read_to_string(&log).unwrap(),
            "clawdie login: typed"
        );
    }

    #[test]
    fn a_stick_boots_by_bios_and_its_line_is_read_and_typed_into() {
        reads_and_types(Attach::UsbStick);
    }

    #[test]
    fn an_nvme_drive_boots_by_bios() {
        reads_and_types(Attach::Nvme);
    }

    #[test]
    fn uefi_starts_and_says_so() {
        firmware_tries_the_disk(Firmware::Uefi);
    }

    #[test]
    fn uefi_with_secure_boot_starts_and_says_so() {
        firmware_tries_the_disk(Firmware::SecureUefi);
    }

    fn firmware_tries_the_disk(firmware: Firmware) {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine {
            firmware,
            cpus: 1,
            memory: 256,
            ..Machine::new(echo_disk(folder.path()))
        };
        let mut running = machine.start(&folder.path().join("log")).unwrap();
        // The disk has no EFI program: the firmware tries it and goes on.
        running.console().wait_for("BdsDxe: ", LONG).unwrap();
        running.cut_power().unwrap();
    }

    #[test]
    fn a_guest_that_ignores_the_power_button_is_reported_and_killed() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine {
            firmware: Firmware::Bios,
            memory: 64,
            ..Machine::new(echo_disk(folder.path()))
        };
        let mut running = machine.start(&folder.path().join("log")).unwrap();
        let process = PathBuf::from(format!("/proc/{}/cmdline", running.process_id()));
        running.console().wait_for("login: ", LONG).unwrap();
        let error = running.power_off(Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("clawdie login:"), "{error}");
        assert!(!process.exists());
    }
}
