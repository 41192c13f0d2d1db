//! `colibri-hostd`, which does the little that needs root: on at every boot, running, and answering.

use std::time::Duration;

use colibri_host::{HostFacts, NoFields, Reply, Request};

use super::{Context, Step, StepError, Wanted};
use crate::host::{Host, HostError, Order, Service, Setting};

/// How long an answer that needs no work may take.
const QUICK: Duration = Duration::from_secs(10);

pub(super) struct RootHelper;

impl Step for RootHelper {
    fn name(&self) -> &'static str {
        "root-helper"
    }

    fn title(&self) -> &'static str {
        "Root helper"
    }

    /// With the doubling pauses about a minute.
    fn attempts(&self) -> u32 {
        16
    }

    fn wanted(&self, _cx: &Context) -> Result<Wanted, StepError> {
        Ok(Wanted::Settings(vec![Setting::ServiceEnabled(
            Service::ColibriHostd,
        )]))
    }

    fn check(&self, cx: &Context, wanted: &Wanted) -> Result<bool, StepError> {
        for setting in wanted.settings() {
            if !cx.host.holds(setting)? {
                return Ok(false);
            }
        }
        Ok(facts(cx.host).is_ok())
    }

    fn act(&self, cx: &Context, wanted: &Wanted) -> Result<(), StepError> {
        for setting in wanted.settings() {
            if !cx.host.holds(setting)? {
                cx.host.apply(setting)?;
            }
        }
        cx.host.order(Service::ColibriHostd, Order::Start)?;
        let silent = |source| StepError::Silent {
            service: Service::ColibriHostd,
            source,
            log: cx.host.habits().show_helper_log,
        };
        facts(cx.host).map(drop).map_err(silent)
    }

    fn result(&self, cx: &Context, wanted: &Wanted) -> String {
        match facts(cx.host) {
            Ok(facts) => format!("colibri-hostd answers ({} {})", facts.os, facts.release),
            Err(_) => wanted.describe(),
        }
    }
}

/// What kind of host this is by the helper's account, and whether it can make jails.
pub(super) fn facts(host: &dyn Host) -> Result<HostFacts, HostError> {
    match host.ask_helper(&Request::HostFacts(NoFields {}), QUICK)? {
        Reply::Facts(facts) => Ok(facts),
        _ => Err(strange("host-facts")),
    }
}

/// An answer to another question.
pub(super) fn strange(asked: &str) -> HostError {
    HostError::Unexpected {
        what: "the answer of colibri-hostd".into(),
        detail: format!("it is none to `{asked}`"),
    }
}
