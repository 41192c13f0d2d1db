//! The leash as a program of its own, for this crate's tests. The image does not
//! ship it: there `colibri-daemon leash` is the same.

fn main() -> std::process::ExitCode {
    colibri_spawner::leash::main(std::env::args_os().skip(1))
}
