//! The first operator of the dashboard. One who is there already stays, whoever set it.

use super::{Context, Step, StepError, Wanted};
use crate::operator::{self, Operator};
use crate::setup::Key;

pub(super) struct DashboardOperator;

impl Step for DashboardOperator {
    fn name(&self) -> &'static str {
        "dashboard-operator"
    }

    fn title(&self) -> &'static str {
        "Dashboard operator"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        Ok(match cx.setup()?.get(Key::OperatorEmail) {
            Some(_) => Wanted::Work("`OPERATOR_EMAIL` may open the dashboard".into()),
            None => Wanted::Nothing("no `OPERATOR_EMAIL`".into()),
        })
    }

    fn check(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(Operator::read(cx.host)?.is_some())
    }

    fn act(&self, cx: &Context, _wanted: &Wanted) -> Result<(), StepError> {
        let setup = cx.setup()?;
        let (Some(email), Some(password)) = (
            setup.get(Key::OperatorEmail),
            setup.secret(Key::OperatorPassword),
        ) else {
            // The seed was emptied, and the record that it had been used for is gone.
            return Err(StepError::Seed(
                "`OPERATOR_PASSWORD` is empty and this host has no operator any more: write it into setup.txt again"
                    .into(),
            ));
        };
        Ok(operator::create(cx.host, email, password)?)
    }

    /// Tells how the operator who is there differs, without the addresses: this goes to logs as well.
    fn result(&self, cx: &Context, wanted: &Wanted) -> String {
        let (Ok(setup), Ok(Some(operator))) = (cx.setup(), Operator::read(cx.host)) else {
            return wanted.describe();
        };
        let mut differs = Vec::new();
        if setup.get(Key::OperatorEmail) != Some(operator.email.as_str()) {
            differs.push("OPERATOR_EMAIL");
        }
        if setup
            .secret(Key::OperatorPassword)
            .is_some_and(|password| !operator.has_password(password))
        {
            differs.push("OPERATOR_PASSWORD");
        }
        if differs.is_empty() {
            return wanted.describe();
        }
        let path = cx.host.paths().operator;
        cx.warn(format!(
            "the dashboard's operator was set before and stays; {} in setup.txt differs. To set another one, remove \
             {path} and start the machine again",
            differs.join(" and ")
        ));
        "the operator who was set before stays".into()
    }
}
