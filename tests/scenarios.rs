//! First boots as people have them, good and bad: the folders of `tests/scenarios/`, and power cuts.
//!
//! Those that are not quick are ignored unless asked for: `cargo xtask test --all` runs them.

// Tests all of it.
#![allow(clippy::unwrap_used)]

use clawdie_tests::{power_cut, scenario};
use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut trials: Vec<Trial> = scenario::all()
        .into_iter()
        .map(|scenario| {
            let quick = scenario.is_quick();
            Trial::test(scenario.name.clone(), move || {
                scenario.play();
                Ok(())
            })
            .with_ignored_flag(!quick)
        })
        .collect();
    for (name, cuts, quick) in [
        ("power-cut-once", 1, true),
        ("power-cut-25-times", 25, false),
    ] {
        trials.push(
            Trial::test(name, move || {
                power_cut::play(cuts);
                Ok(())
            })
            .with_ignored_flag(!quick),
        );
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
