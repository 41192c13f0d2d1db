//! The screens as text, any sequence of keys, and the real program on a terminal.

mod board;
mod keys;
mod model;
mod program;
mod screens;
