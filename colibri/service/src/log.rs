//! What a service tells those who watch it.

use std::io::IsTerminal as _;

/// In a log, a path broken over two lines cannot be searched for.
pub fn errors_in_whole_lines() {
    let wrap = std::io::stderr().is_terminal();
    // Fails only when it was done before, and it was not.
    let _ = miette::set_hook(Box::new(move |_| {
        let options = miette::MietteHandlerOpts::new()
            .wrap_lines(wrap)
            .break_words(false);
        Box::new(options.build())
    }));
}

/// What is traced goes to standard error, as much of it as `RUST_LOG` says, `info` without it.
pub fn to_stderr() {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // The journal has its own clock.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.without_time().init();
    } else {
        builder.init();
    }
}
