//! The disk around the file systems: the partition table (GPT), its layout, and legacy BIOS boot code.
//!
//! [`DiskPlan::layout`] decides where everything lies, [`write_table`] writes it and
//! [`read_table`] reads it back, comparing every byte with what it would have written itself.
//!
//! The crate `gpt` was judged and not taken: it makes partition GUIDs at random unless its list is
//! replaced wholesale, reads no checksum of the partition array, and says of a damaged table only
//! that it is damaged. What is left to do for ourselves is a hundred lines.

mod fault;
pub mod freebsd;
pub mod grub;
mod plan;
mod table;

pub use fault::Fault;
pub use plan::{ALIGN, DiskPlan, PartitionKind, PartitionPlan, PartitionSize, guid};
pub use table::{boot_code, check_table, read_primary, read_table, write_table};

/// Bytes in a sector, and so in one LBA. Sticks with 4096-byte sectors exist only as rarities that
/// present 512 to the host.
pub const SECTOR: u64 = 512;
