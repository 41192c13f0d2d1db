//! `flash`: an image onto a USB stick, and never onto the wrong disk.
//!
//! [`Image::open`] checks what is to be written, [`disks::Machine`] knows the disks of this machine and
//! what speaks against writing to each, [`Open`] holds one so that nobody else uses it, and
//! [`write`] writes and reads back.

pub mod disks;
mod image;
mod open;
mod write;

pub use disks::{Disk, Machine};
pub use image::{Image, Reader, image_len, is_image};
pub use open::Open;
pub use write::{Target, write};
