//! What our full-screen programs share: consoles and serial lines as they are, slow, of unknown size, and other
//! people's afterwards.
//!
//! [`Screen`] takes the terminal and gives it back, come what may. [`Typed`] is what came from its keyboard. [`Look`]
//! is what the terminal can show. For tests, features of their names: `pictures` holds screens against files,
//! `tmux` runs a program in a real terminal.

mod look;
#[cfg(feature = "pictures")]
pub mod pictures;
mod screen;
#[cfg(feature = "tmux")]
pub mod tmux;
mod typed;

pub use look::{BOLD, Look, REVERSED};
pub use screen::{Happened, Mouse, SIZE, Screen};
/// The signals that [`Screen::open`] can take.
pub use signal_hook::consts as signal;
pub use typed::Typed;
