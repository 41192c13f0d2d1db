//! What a person sees: progress, messages, errors.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clawdie_image::progress::{Progress, Task};
use clawdie_image::{Error, ErrorKind, Result, ResultExt as _};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;

/// Starts the log: warnings, and with `verbose` all that called programs say. It goes to standard
/// error, so that `--json` on standard output stays clean.
pub(crate) fn log(verbose: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CLAWDIE_LOG").unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new(if verbose { "debug" } else { "info" })
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .without_time()
        .with_target(false)
        .init();
}

/// Prints an error: what, why, and what to do.
pub(crate) fn complain(error: &Error) {
    anstream::eprintln!("{} {error}", "error:".red().bold());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        for line in inner.to_string().lines() {
            anstream::eprintln!("  {line}");
        }
        cause = inner.source();
    }
    if let Some(remedy) = error.remedy() {
        anstream::eprintln!("{} {remedy}", "help:".green().bold());
    }
}

/// Bars on a terminal, a line for each finished stage elsewhere; keeps the times.
pub(crate) struct Stages {
    bars: Option<MultiProgress>,
    quiet: bool,
    times: Arc<Mutex<Vec<(String, Duration)>>>,
}

impl Stages {
    /// `quiet` shows nothing, for `bench`.
    pub(crate) fn new(quiet: bool) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self {
            bars,
            quiet,
            times: Arc::default(),
        }
    }

    /// How long each stage took, in the order in which they ended.
    pub(crate) fn times(&self) -> Vec<(String, Duration)> {
        self.times
            .lock()
            .map(|times| times.clone())
            .unwrap_or_default()
    }
}

impl Progress for Stages {
    fn begin(&self, stage: &str, total: Option<u64>) -> Box<dyn Task> {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = match total {
                Some(total) => ProgressBar::new(total).with_style(style(
                    "{prefix:<24} {bar:24} {bytes:>11} of {total_bytes} {msg:.dim}",
                )),
                None => ProgressBar::new_spinner()
                    .with_style(style("{prefix:<24} {spinner} {elapsed:>4} {wide_msg:.dim}")),
            };
            let bar = bars.add(bar).with_prefix(stage.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Box::new(Stage {
            name: stage.to_owned(),
            start: Instant::now(),
            bar,
            plain: self.bars.is_none() && !self.quiet,
            times: Arc::clone(&self.times),
        })
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

struct Stage {
    name: String,
    start: Instant,
    bar: Option<ProgressBar>,
    plain: bool,
    times: Arc<Mutex<Vec<(String, Duration)>>>,
}

impl Task for Stage {
    fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn note(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let took = self.start.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            bar.println(format!("{:<24} {:>7.1} s", self.name, took.as_secs_f64()));
        }
        if self.plain {
            anstream::eprintln!("{:<24} {:>7.1} s", self.name, took.as_secs_f64());
        }
        if let Ok(mut times) = self.times.lock() {
            times.push((self.name.clone(), took));
        }
    }
}

/// Prints a result for programs, on standard output.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(value)
        .or_error(ErrorKind::Failed, || "writing the result as JSON".into())?;
    anstream::println!("{json}");
    Ok(())
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
