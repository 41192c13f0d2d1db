//! Checks the UFS2 file system in an image, or in a part of it:
//! `cargo run --example check -- IMAGE [OFFSET [LEN]]`.

use std::fs::File;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match faults(&args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Prints every fault; returns how many there are.
fn faults(args: &[String]) -> Result<usize, String> {
    let number = |text: &String| {
        text.parse::<u64>()
            .map_err(|_| format!("`{text}` is no number of bytes"))
    };
    let (image, offset, len) = match args {
        [image] => (image, 0, None),
        [image, offset] => (image, number(offset)?, None),
        [image, offset, len] => (image, number(offset)?, Some(number(len)?)),
        _ => return Err("usage: check IMAGE [OFFSET [LEN]]; the last two are bytes".into()),
    };
    let named = |error| format!("`{image}`: {error}");
    let file = File::open(image).map_err(named)?;
    let rest = file.metadata().map_err(named)?.len().saturating_sub(offset);
    let found = clawdie_ufs2::check(&file, offset, len.unwrap_or(rest)).map_err(named)?;
    for fault in &found {
        println!("{fault}");
    }
    if found.is_empty() {
        println!("no faults");
    }
    Ok(found.len())
}
