//! Can FreeBSD's base start this program, and does it keep quiet about the machine that built it?
//!
//! A cross-linker is easily talked into something that looks right: a program for another system, one
//! that wants a library of the build machine, one with the builder's home in its texts. All of that is
//! found here, before the program goes into an image.

use std::path::{Path, PathBuf};

use memchr::memmem;
use object::LittleEndian;
use object::elf;
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

/// What loads the libraries of a FreeBSD program.
const INTERPRETER: &str = "/libexec/ld-elf.so.1";

/// Libraries of FreeBSD 15's base that a program of ours may need. Not all that the base has:
/// OpenSSL's change their interface within a major release. `libutil` has had another number in 14.
const BASE_LIBRARIES: &[&str] = &[
    "libc.so.7",
    "libdevstat.so.7",
    "libdl.so.1",
    "libexecinfo.so.1",
    "libgcc_s.so.1",
    "libkvm.so.7",
    "libm.so.5",
    "libmemstat.so.3",
    "libprocstat.so.1",
    "librt.so.1",
    "libsys.so.7",
    "libthr.so.3",
    "libutil.so.10",
];

/// Type of the note that says for which FreeBSD a program was made (`NT_FREEBSD_ABI_TAG`).
const ABI_TAG: u32 = 1;

/// What a program must not do.
#[derive(Debug)]
pub struct Rules {
    /// Major number of the release that it is to run on.
    pub major: u32,
    /// Folders of this machine that must not be named in it.
    pub folders: Vec<PathBuf>,
}

/// Why a program does not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No program at all, or a torn one.
    #[error("it is not a whole ELF file of 64 bits: {0}")]
    Unreadable(String),
    /// Another processor.
    #[error("it is for another processor than amd64 (ELF machine {0})")]
    Machine(u16),
    /// Linked to fixed addresses.
    #[error("it is linked to fixed addresses (ELF type {0}), so they cannot be randomised")]
    NotPie(u16),
    /// Static, or a library.
    #[error("it names no loader; a program for FreeBSD names `{INTERPRETER}`")]
    NoInterpreter,
    /// The loader of another system.
    #[error("its loader is `{0}`, FreeBSD's is `{INTERPRETER}`")]
    Interpreter(String),
    /// The header names another system.
    #[error("its header says that it is for another system (OS/ABI {0})")]
    OsAbi(u8),
    /// The kernel would not know what it is.
    #[error("it has no ABI note of FreeBSD: the kernel would not know it")]
    NoAbiNote,
    /// Made for a later FreeBSD, whose symbols it may use.
    #[error("it was made for FreeBSD {0}, later than the release of the image")]
    TooNew(u32),
    /// Not in the base.
    #[error("it needs the library `{0}`, which is none of the base that it may use")]
    Library(String),
    /// Libraries from elsewhere.
    #[error("it looks for libraries in `{0}`")]
    SearchPath(String),
    /// It says where it was built.
    #[error("it holds `{}`, a folder of the machine that built it", .0.display())]
    BuildPath(PathBuf),
}

/// Everything that is wrong with a program; nothing when it is sound.
pub fn faults(bytes: &[u8], rules: &Rules) -> Vec<Fault> {
    let mut faults = match Program::read(bytes) {
        Ok(program) => program.faults(rules),
        Err(error) => vec![Fault::Unreadable(error.to_string())],
    };
    faults.extend(
        rules
            .folders
            .iter()
            .filter(|folder| is_telling(folder))
            .filter(|folder| memmem::find(bytes, folder.as_os_str().as_encoded_bytes()).is_some())
            .cloned()
            .map(Fault::BuildPath),
    );
    faults
}

/// Whether a folder's name says something about a machine: `/`, `/root` and `/usr` may well be meant
/// on the host that the program runs on.
fn is_telling(folder: &Path) -> bool {
    folder.is_absolute() && folder.components().count() > 2
}

/// What the loader and the kernel see of a program.
struct Program {
    os_abi: u8,
    kind: u16,
    machine: u16,
    interpreter: Option<String>,
    /// `__FreeBSD_version` of the system that it was made for.
    made_for: Option<u32>,
    needed: Vec<String>,
    search: Vec<String>,
}

impl Program {
    fn read(bytes: &[u8]) -> object::read::Result<Self> {
        let header = elf::FileHeader64::<LittleEndian>::parse(bytes)?;
        let endian = header.endian()?;
        let mut program = Self {
            os_abi: header.e_ident().os_abi.0,
            kind: header.e_type(endian).0,
            machine: header.e_machine(endian).0,
            interpreter: None,
            made_for: None,
            needed: Vec::new(),
            search: Vec::new(),
        };
        let segments = header.program_headers(endian, bytes)?;
        for segment in segments {
            if let Some(path) = segment.interpreter(endian, bytes)? {
                program.interpreter = Some(text(path));
            }
            if let Some(mut notes) = segment.notes(endian, bytes)? {
                while let Some(note) = notes.next()? {
                    if note.name() == b"FreeBSD" && note.n_type(endian).0 == ABI_TAG {
                        program.made_for = note.desc().try_into().ok().map(u32::from_le_bytes);
                    }
                }
            }
            if let Some(entries) = segment.dynamic(endian, bytes)? {
                program.read_dynamic(bytes, segments, entries)?;
            }
        }
        Ok(program)
    }

    /// Names are read as the loader reads them, through the segments: section headers may be wrong or
    /// absent.
    fn read_dynamic(
        &mut self,
        bytes: &[u8],
        segments: &[elf::ProgramHeader64<LittleEndian>],
        entries: &[elf::Dyn64<LittleEndian>],
    ) -> object::read::Result<()> {
        let value = |tag| {
            entries
                .iter()
                .find(|entry| entry.d_tag(LittleEndian) == tag)
                .map(|entry| entry.d_val(LittleEndian))
        };
        let strings = match (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) {
            (Some(address), Some(size)) => segments
                .iter()
                .filter(|segment| segment.p_type(LittleEndian) == elf::PT_LOAD)
                .find_map(|segment| {
                    segment
                        .data_range(LittleEndian, bytes, address, size)
                        .ok()
                        .flatten()
                }),
            _ => None,
        };
        for entry in entries {
            let list = match entry.d_tag(LittleEndian) {
                elf::DT_NULL => break,
                elf::DT_NEEDED => &mut self.needed,
                elf::DT_RPATH | elf::DT_RUNPATH => &mut self.search,
                _ => continue,
            };
            let name = usize::try_from(entry.d_val(LittleEndian))
                .ok()
                .and_then(|at| strings?.get(at..))
                .and_then(|rest| rest.split(|byte| *byte == 0).next());
            // A name that cannot be read is no name of a library of the base.
            list.push(name.map_or_else(|| "(unreadable)".to_owned(), text));
        }
        Ok(())
    }

    fn faults(self, rules: &Rules) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.machine != elf::EM_X86_64.0 {
            faults.push(Fault::Machine(self.machine));
        }
        if self.kind != elf::ET_DYN.0 {
            faults.push(Fault::NotPie(self.kind));
        }
        match self.interpreter {
            None => faults.push(Fault::NoInterpreter),
            Some(other) if other != INTERPRETER => faults.push(Fault::Interpreter(other)),
            Some(_) => {}
        }
        // Linkers write FreeBSD's number or none; the note is what counts.
        if ![elf::ELFOSABI_NONE.0, elf::ELFOSABI_FREEBSD.0].contains(&self.os_abi) {
            faults.push(Fault::OsAbi(self.os_abi));
        }
        match self.made_for.map(|version| version / 100_000) {
            None => faults.push(Fault::NoAbiNote),
            Some(major) if major > rules.major => faults.push(Fault::TooNew(major)),
            Some(_) => {}
        }
        faults.extend(
            self.needed
                .into_iter()
                .filter(|name| !BASE_LIBRARIES.contains(&name.as_str()))
                .map(Fault::Library),
        );
        faults.extend(self.search.into_iter().map(Fault::SearchPath));
        faults
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
