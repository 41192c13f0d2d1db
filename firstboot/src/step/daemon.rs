//! Colibri's daemon: on at every boot, running, and answering.

use super::{Context, Step, StepError, Wanted};
use crate::host::{Order, Service, Setting};

pub(super) struct StartDaemon;

impl Step for StartDaemon {
    fn name(&self) -> &'static str {
        "daemon"
    }

    fn title(&self) -> &'static str {
        "Start Colibri"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["adoption", "provider-env"]
    }

    fn wanted(&self, _cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Settings(vec![Setting::ServiceEnabled(
            Service::ColibriDaemon,
        )]))
    }

    fn check(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        for setting in wanted.settings() {
            if !cx.host.holds(setting)? {
                return Ok(false);
            }
        }
        // A service of this very boot that is still on its way up answers soon; one that runs with an old environment
        // does not help.
        Ok(!cx.environment_changed.get() && cx.host.is_running(Service::ColibriDaemon)?)
    }

    fn act(&self, cx: &Context, wanted: &Wanted) -> Result<(), StepError> {
        for setting in wanted.settings() {
            if !cx.host.holds(setting)? {
                cx.host.apply(setting)?;
            }
        }
        let order = if cx.environment_changed.get() {
            Order::Restart
        } else {
            Order::Start
        };
        cx.host.order(Service::ColibriDaemon, order)?;
        Ok(())
    }

    fn verify(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        // The order has been given, and nobody waits for it here: `daemon-answers` does.
        for setting in wanted.settings() {
            if !cx.host.holds(setting)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

pub(super) struct DaemonAnswers;

impl Step for DaemonAnswers {
    fn name(&self) -> &'static str {
        "daemon-answers"
    }

    fn title(&self) -> &'static str {
        "Colibri answers"
    }

    fn needs(&self) -> &'static [&'static str] {
        &["adoption", "daemon"]
    }

    /// With the doubling pauses about a minute and a half: a slow stick on an old machine.
    fn attempts(&self) -> u32 {
        22
    }

    fn wanted(&self, _cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Work("colibri-daemon answers on its socket".into()))
    }

    fn check(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(cx.host.ask_daemon().is_ok())
    }

    fn act(&self, cx: &Context, _wanted: &Wanted) -> Result<(), StepError> {
        cx.host
            .ask_daemon()
            .map(drop)
            .map_err(|source| StepError::Silent {
                source,
                log: cx.host.habits().show_daemon_log,
            })
    }

    fn result(&self, cx: &Context, wanted: &Wanted) -> String {
        match cx.host.ask_daemon() {
            Ok(version) => format!("colibri-daemon {version} answers"),
            Err(_) => wanted.describe(),
        }
    }
}
