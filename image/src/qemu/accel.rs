//! How QEMU runs the guest's instructions: by the host's processor, or translated.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{QEMU, not_started};
use crate::{Error, Result};

/// How the guest's instructions are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// By the host's own processor.
    Kvm,
    /// Translated, with the processor model of the newest hardware that QEMU knows.
    Tcg,
    /// Translated, without `cmpxchg16b`: kernels since 6.12 panic in `___slab_alloc` right after
    /// that instruction under QEMU 7.2. Given to every QEMU before 10.
    TcgWithoutCx16,
}

/// Names the accelerator instead of probing: `kvm` or `tcg`.
const OVERRIDE: &str = "CLAWDIE_ACCEL";

/// Longest time that the probe's boot sector may take; with a working KVM it needs 0.1 s.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// What the probe's boot sector writes to the exit port, and what QEMU makes of it.
const PROBE_EXIT: i32 = (0x2a << 1) | 1;

/// A boot sector (16-bit start at 0x7c00) that enters long mode, does one `lock cmpxchg16b`, and
/// writes 0x2a to port 0xf4. Nested KVM that looks present but is not either aborts at the first
/// register or never gets past that instruction.
const PROBE: &[u8] = &[
    0xfa, // cli
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, // mov ds, ax; mov es, ax; mov ss, ax
    0x66, 0xbf, 0x00, 0x10, 0x00, 0x00, // mov edi, 0x1000
    0x0f, 0x22, 0xdf, // mov cr3, edi
    0x66, 0x31, 0xc0, // xor eax, eax
    0xb9, 0x00, 0x10, // mov cx, 0x1000
    0xfc, 0x66, 0xf3, 0xab, // cld; rep stosd            three page tables and the operand
    0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, // mov word [0x1000], 0x2003
    0xc7, 0x06, 0x00, 0x20, 0x03, 0x30, // mov word [0x2000], 0x3003
    0xc6, 0x06, 0x00, 0x30, 0x83, // mov byte [0x3000], 0x83        2 MiB at 0
    0x0f, 0x20, 0xe0, 0x0c, 0x20, 0x0f, 0x22, 0xe0, // cr4 |= PAE
    0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, // mov ecx, EFER
    0x0f, 0x32, 0x80, 0xcc, 0x01, 0x0f, 0x30, // EFER |= LME
    0x66, 0x0f, 0x01, 0x16, 0x77, 0x7c, // lgdt [0x7c77]
    0x0f, 0x20, 0xc0, 0x66, 0x0d, 0x01, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, // cr0 |= PG | PE
    0xea, 0x59, 0x7c, 0x08, 0x00, // jmp 8:0x7c59
    0x31, 0xc0, 0x31, 0xd2, // xor eax, eax; xor edx, edx           64-bit from here
    0xbb, 0x01, 0x00, 0x00, 0x00, // mov ebx, 1
    0x31, 0xc9, // xor ecx, ecx
    0xbf, 0x00, 0x40, 0x00, 0x00, // mov edi, 0x4000
    0xf0, 0x48, 0x0f, 0xc7, 0x0f, // lock cmpxchg16b [rdi]
    0x75, 0x04, // jnz stop
    0xb0, 0x2a, 0xe6, 0xf4, // mov al, 0x2a; out 0xf4, al
    0xf4, 0xeb, 0xfd, // stop: hlt; jmp stop
    0x0f, 0x00, 0x7d, 0x7c, 0x00, 0x00, // 0x7c77: 15 bytes at 0x7c7d
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // no descriptor
    0x00, 0x00, 0x00, 0x00, 0x00, 0x9a, 0x20, 0x00, // 64-bit code
];

impl Accel {
    /// The fastest one that works on this machine; found out once per process.
    ///
    /// KVM counts only when it boots something within three seconds: the device file alone says
    /// nothing. `CLAWDIE_ACCEL=kvm` or `=tcg` skips the probe.
    ///
    /// # Errors
    /// QEMU is missing or will not say its version; `CLAWDIE_ACCEL` holds another word.
    pub fn probe() -> Result<Self> {
        static FOUND: OnceLock<Accel> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return Ok(*found);
        }
        let found = Self::find(std::env::var(OVERRIDE).ok().as_deref())?;
        tracing::debug!(?found, "accelerator");
        Ok(*FOUND.get_or_init(|| found))
    }

    fn find(wish: Option<&str>) -> Result<Self> {
        let version = qemu_version()?;
        match wish {
            Some("kvm") => Ok(Self::Kvm),
            Some("tcg") => Ok(Self::tcg(version)),
            Some(other) => Err(Error::new(
                crate::ErrorKind::Usage,
                format!("`{OVERRIDE}` is `{other}`, which names no accelerator"),
            )
            .hint("use `kvm` or `tcg`, or leave it unset")),
            None if kvm_may_be_used() && Self::Kvm.boots_something()? => Ok(Self::Kvm),
            None => Ok(Self::tcg(version)),
        }
    }

    fn tcg(qemu_version: u32) -> Self {
        if qemu_version < 10 {
            Self::TcgWithoutCx16
        } else {
            Self::Tcg
        }
    }

    /// The arguments that choose it.
    pub(super) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
            Self::TcgWithoutCx16 => ["-accel", "tcg,thread=multi", "-cpu", "max,-cx16"],
        }
    }

    /// How many of the processors that a machine has in mind it gets. Translated it gets one: a second makes it
    /// slower by a quarter, and Linux, which patches its own code as it runs, has died of it under QEMU 7.2 (`int3`
    /// out of a jump label, as the other processor still runs the old translation).
    pub(super) fn processors(self, wanted: u32) -> u32 {
        match self {
            Self::Kvm => wanted,
            Self::Tcg | Self::TcgWithoutCx16 => 1,
        }
    }

    /// How many times longer than with KVM things may take: deadlines are multiplied by it.
    pub fn slowness(self) -> u32 {
        match self {
            Self::Kvm => 1,
            Self::Tcg | Self::TcgWithoutCx16 => 5,
        }
    }

    fn boots_something(self) -> Result<bool> {
        let mut sector = [0; 512];
        sector[..PROBE.len()].copy_from_slice(PROBE);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(&sector)?;
        let status = self.run_sector(file.path())?;
        Ok(status.is_some_and(|status| status.code() == Some(PROBE_EXIT)))
    }

    /// Runs a boot sector to its end; `None` when it had to be stopped.
    fn run_sector(self, sector: &Path) -> Result<Option<ExitStatus>> {
        let mut drive = std::ffi::OsString::from("format=raw,if=ide,snapshot=on,file=");
        drive.push(super::machine::escaped(sector));
        let mut child = Command::new(QEMU)
            .args(self.arguments())
            .args(["-nodefaults", "-display", "none", "-no-reboot", "-m", "64"])
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-drive"])
            .arg(drive)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(not_started)?;
        let end = Instant::now() + PROBE_LIMIT;
        while Instant::now() < end {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill()?;
        child.wait()?;
        Ok(None)
    }
}

fn kvm_may_be_used() -> bool {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok()
}

fn qemu_version() -> Result<u32> {
    let output = Command::new(QEMU)
        .arg("--version")
        .output()
        .map_err(not_started)?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).ok_or_else(|| {
        Error::failed(format!(
            "`{QEMU} --version` said `{}`, which names no version",
            text.trim()
        ))
        .hint("reinstall the package `qemu-system-x86`")
    })
}

/// The major version out of `QEMU emulator version 7.2.22 (Debian ...)`.
fn parse_version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("version ")?;
    rest.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_that_qemu_says() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright";
        assert_eq!(parse_version(debian), Some(7));
        assert_eq!(parse_version("QEMU emulator version 10.0.2\n"), Some(10));
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn old_qemu_hides_cmpxchg16b() {
        assert_eq!(Accel::tcg(9), Accel::TcgWithoutCx16);
        assert_eq!(Accel::tcg(10), Accel::Tcg);
    }

    /// Translation always works, so here the sector must report; else the probe would never
    /// find a good KVM either.
    #[test]
    fn the_probe_sector_reports_where_it_runs() {
        assert!(Accel::Tcg.boots_something().unwrap());
    }

    /// Without the instruction the sector must not report: what bad KVM looks like.
    #[test]
    fn the_probe_sector_stays_silent_without_cmpxchg16b() {
        assert!(!Accel::TcgWithoutCx16.boots_something().unwrap());
    }

    #[test]
    fn an_unknown_wish_is_a_usage_error() {
        let error = Accel::find(Some("warp")).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Usage);
        assert!(error.to_string().contains("`warp`"));
    }
}
