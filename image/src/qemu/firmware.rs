//! The firmware that starts the image.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// How the machine starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Firmware {
    /// UEFI, as on machines of the last ten years (OVMF).
    #[default]
    Uefi,
    /// UEFI with Secure Boot on and Microsoft's keys in it, as PCs are sold.
    SecureUefi,
    /// The BIOS of older ones (SeaBIOS, which comes with QEMU).
    Bios,
}

/// OVMF in two files: the code, and the variables that each machine gets a copy of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uefi {
    /// Read-only half.
    pub code: PathBuf,
    /// Template of the half that the machine writes to.
    pub variables: PathBuf,
}

/// Where the packages put the two files, best first: folder, code, variables.
const PLACES: &[(&str, &str, &str)] = &[
    // Debian, Ubuntu: `ovmf`
    ("/usr/share/OVMF", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF", "OVMF_CODE.fd", "OVMF_VARS.fd"),
    // Fedora: `edk2-ovmf`
    ("/usr/share/edk2/ovmf", "OVMF_CODE.fd", "OVMF_VARS.fd"),
    // Arch: `edk2-ovmf`
    ("/usr/share/edk2/x64", "OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd"),
    // FreeBSD: `edk2-qemu-x64`
    (
        "/usr/local/share/edk2-qemu",
        "QEMU_UEFI_CODE-x86_64.fd",
        "QEMU_UEFI_VARS-x86_64.fd",
    ),
    // macOS: Homebrew's `qemu`
    (
        "/opt/homebrew/share/qemu",
        "edk2-x86_64-code.fd",
        "edk2-i386-vars.fd",
    ),
];

/// The same with Secure Boot: built for it, and with the keys enrolled.
const SECURE_PLACES: &[(&str, &str, &str)] = &[
    // Debian, Ubuntu: `ovmf`
    (
        "/usr/share/OVMF",
        "OVMF_CODE_4M.secboot.fd",
        "OVMF_VARS_4M.ms.fd",
    ),
    // Fedora: `edk2-ovmf`
    (
        "/usr/share/edk2/ovmf",
        "OVMF_CODE.secboot.fd",
        "OVMF_VARS.secboot.fd",
    ),
];

impl Uefi {
    /// Finds the firmware's files on this machine.
    ///
    /// # Errors
    /// None of the known places has both.
    pub fn find() -> Result<Self> {
        Self::find_below(Path::new("/"), PLACES)
    }

    /// Finds the files of the firmware that has Secure Boot on.
    ///
    /// # Errors
    /// None of the known places has both.
    pub fn find_secure() -> Result<Self> {
        Self::find_below(Path::new("/"), SECURE_PLACES)
    }

    fn find_below(root: &Path, places: &[(&str, &str, &str)]) -> Result<Self> {
        places
            .iter()
            .map(|(folder, code, variables)| {
                let folder = root.join(folder.trim_start_matches('/'));
                Self {
                    code: folder.join(code),
                    variables: folder.join(variables),
                }
            })
            .find(|found| found.code.is_file() && found.variables.is_file())
            .ok_or_else(|| {
                Error::missing("UEFI firmware for QEMU (OVMF) is not installed").hint(
                    "install the package `ovmf` (Fedora and Arch: `edk2-ovmf`, FreeBSD: \
                     `edk2-qemu-x64`), or boot with `--firmware bios`",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_place_that_has_both_files() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("usr/share/OVMF");
        fs_err::create_dir_all(&folder).unwrap();
        for name in ["OVMF_CODE_4M.fd", "OVMF_CODE.fd", "OVMF_VARS.fd"] {
            fs_err::write(folder.join(name), "").unwrap();
        }
        let found = Uefi::find_below(root.path(), PLACES).unwrap();
        assert_eq!(found.code, folder.join("OVMF_CODE.fd"));
    }

    #[test]
    fn names_the_package_when_there_is_none() {
        let root = tempfile::tempdir().unwrap();
        let error = Uefi::find_below(root.path(), PLACES).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Missing);
        assert!(error.remedy().unwrap().contains("`ovmf`"));
    }
}
