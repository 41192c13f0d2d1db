//! Boots an image in QEMU, for `cargo xtask boot` and for the whole-system tests.
//!
//! A [`Machine`] says what hardware the image is put into; [`Machine::run_on_terminal`] hands the
//! serial line to a person, [`Machine::start`] to a program that reads it, types into it and
//! switches the machine off ([`Running`], [`Console`]).
//!
//! Nothing here needs root, and no secret ever reaches QEMU's command line: what the guest is to
//! know lies on its disk.

mod accel;
mod console;
mod copy;
mod firmware;
mod machine;
mod qmp;
mod running;

pub use accel::Accel;
pub use console::Console;
pub use copy::sparse_copy;
pub use firmware::{Firmware, Uefi};
pub use machine::{Attach, Machine, Network, Writes};
pub use running::Running;

use crate::Error;

/// The program that everything here starts.
const QEMU: &str = "qemu-system-x86_64";

/// QEMU could not be started at all.
fn not_started(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        Error::missing(format!("`{QEMU}` is not installed")).hint(
            "install the package `qemu-system-x86`; `cargo xtask doctor` names all that is missing",
        )
    } else {
        Error::failed(format!("`{QEMU}` could not be started")).caused_by(error)
    }
}
