//! The wish to stop, wherever it comes from.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::failure::Failure;

/// Shared by everything that must end when the daemon does.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    sender: watch::Sender<bool>,
}

impl Stop {
    /// Asked for by SIGTERM or SIGINT alike. SIGHUP, which some send to every
    /// service, is answered in the log.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        let listen = |kind, name: &'static str| {
            signal(kind).map_err(|error| Failure::io("listen for", name, error))
        };
        let mut terminate = listen(SignalKind::terminate(), "SIGTERM")?;
        let mut interrupt = listen(SignalKind::interrupt(), "SIGINT")?;
        let mut hang_up = listen(SignalKind::hangup(), "SIGHUP")?;
        let stop = Self {
            sender: watch::Sender::new(false),
        };
        let asked = stop.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => break tracing::info!("SIGTERM"),
                    _ = interrupt.recv() => break tracing::info!("SIGINT"),
                    _ = hang_up.recv() => tracing::info!(
                        "SIGHUP: nothing to read again; flags and environment are read at start \
                         only, so restart the service to apply a change"
                    ),
                }
            }
            asked.ask();
        });
        Ok(stop)
    }

    /// Asks everybody to stop.
    pub(crate) fn ask(&self) {
        self.sender.send_replace(true);
    }

    /// Whether stopping was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until stopping is asked for.
    pub(crate) async fn asked(&self) {
        // Fails only when every sender is gone, and we hold one.
        let _ = self.sender.subscribe().wait_for(|asked| *asked).await;
    }
}
