//! Spellings of the Colibri before this one. They are hidden from the help, work for one release, and
//! say how the same is spelt now; then this module goes, and what names it.

use std::convert::Infallible;

use colibri_protocol::{Capability, ErrorKind, Name, ReplyError};

use super::Verb;

/// A name without `--name` before it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BareName {
    /// Old spelling of --name
    #[arg(hide = true, value_name = "NAME", conflicts_with = "name")]
    bare_name: Option<Name>,
}

impl BareName {
    /// The name, whichever way it was given; `now` is what `--name` says.
    ///
    /// # Errors
    /// None was given, which the command line does not let pass.
    pub(super) fn or(self, now: Option<Name>) -> Result<Name, ReplyError> {
        now.or(self.bare_name)
            .ok_or_else(|| ReplyError::new(ErrorKind::BadRequest, "`--name` is missing"))
    }
}

/// What `register-agent` took.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OldAgent {
    #[command(flatten)]
    pub(super) bare: BareName,

    /// Old spelling of several --capability
    #[arg(
        long = "capabilities",
        hide = true,
        value_name = "CSV",
        value_delimiter = ','
    )]
    pub(super) csv: Vec<Capability>,
}

/// What `register-skill` took.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OldSkill {
    #[command(flatten)]
    pub(super) bare: BareName,

    /// Old, and not kept: a skill has no category
    #[arg(long, hide = true, value_name = "CATEGORY")]
    category: Option<String>,
}

/// How `spawn-agent` and `spawn-local` named a jail. Neither is taken any more: an agent would run in
/// another jail than was meant, or in none.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OldJail {
    /// Old: a jail is named by its tenant, with --tenant
    #[arg(long, hide = true, value_name = "NAME", value_parser = refuse_jail)]
    jail_name: Option<Infallible>,

    /// Old: a tenant's jail has its own root
    #[arg(long, hide = true, value_name = "PATH", value_parser = refuse_jail)]
    jail_root: Option<Infallible>,
}

fn refuse_jail(_: &str) -> Result<Infallible, &'static str> {
    Err("a jail is named by its tenant now, which also knows its root: write `--tenant TENANT`")
}

impl Verb {
    /// How that is spelt now which was spelt as before, a text each.
    pub(crate) fn old_spellings(&self) -> Vec<&'static str> {
        const NAME: &str = "the name comes after `--name` now";
        let used = match self {
            Self::OldStop(_) => vec![(
                true,
                "`stop` and `kill` are called `stop-agent` now, and take the agent's name, which \
                 `colibri snapshot` shows",
            )],
            Self::RegisterAgent(new) => vec![
                (new.old.bare.bare_name.is_some(), NAME),
                (
                    !new.old.csv.is_empty(),
                    "`--capabilities A,B` is `--capability A --capability B` now",
                ),
            ],
            Self::RegisterSkill(new) => vec![
                (new.old.bare.bare_name.is_some(), NAME),
                (
                    new.old.category.is_some(),
                    "a skill has no category now, and `--category` is not kept: say it in \
                     `--description`",
                ),
            ],
            _ => Vec::new(),
        };
        let used = used.into_iter().filter(|(is_used, _)| *is_used);
        used.map(|(_, now)| now).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind as Problem;
    use clap::{CommandFactory as _, Parser as _};

    use super::super::Args;
    use super::*;

    fn read(words: &[&str]) -> Result<Verb, clap::Error> {
        let words = ["colibri"].iter().chain(words);
        Args::try_parse_from(words).map(|args| args.verb)
    }

    #[test]
    fn an_old_spelling_asks_the_same_and_says_how_it_is_spelt_now() {
        let stop = &["stop-agent", "atlas"];
        let cases: [(&[&str], &[&str], &[&str]); 5] = [
            (&["stop", "atlas"], stop, &["`stop-agent`"]),
            (&["kill", "atlas"], stop, &["`stop-agent`"]),
            (
                &["register-agent", "atlas", "--capabilities", "gpu,code"],
                &[
                    "register-agent",
                    "--name",
                    "atlas",
                    "--capability",
                    "gpu",
                    "--capability",
                    "code",
                ],
                &["`--name`", "`--capability A --capability B`"],
            ),
            (
                &[
                    "register-agent",
                    "--capability",
                    "shell",
                    "--capabilities",
                    "gpu",
                    "--name",
                    "atlas",
                ],
                &[
                    "register-agent",
                    "--name",
                    "atlas",
                    "--capability",
                    "shell",
                    "--capability",
                    "gpu",
                ],
                &["`--capability A --capability B`"],
            ),
            (
                &[
                    "register-skill",
                    "vault",
                    "--description",
                    "D",
                    "--category",
                    "C",
                ],
                &["register-skill", "--name", "vault", "--description", "D"],
                &["`--name`", "`--category` is not kept"],
            ),
        ];
        for (old, now, says) in cases {
            let (old, now) = (read(old).unwrap(), read(now).unwrap());
            assert_eq!(old.command(), now.command());
            assert!(now.command().is_ok());
            let said = old.old_spellings();
            assert_eq!(said.len(), says.len(), "{said:?}");
            for (said, word) in said.iter().zip(says) {
                assert!(said.contains(word), "{said}");
            }
            assert!(now.old_spellings().is_empty(), "{now:?}");
        }
    }

    #[test]
    fn one_name_is_enough_and_two_are_too_many() {
        for verb in [
            &["register-agent"][..],
            &["register-skill", "--description", "D"],
        ] {
            let missing = read(verb).unwrap_err();
            assert_eq!(missing.kind(), Problem::MissingRequiredArgument);
            let text = missing.to_string();
            assert!(text.contains("--name <NAME>"), "{text}");
            let twice = read(&[verb, &["a", "--name", "b"]].concat()).unwrap_err();
            assert_eq!(twice.kind(), Problem::ArgumentConflict);
        }
    }

    #[test]
    fn a_jail_by_its_name_or_root_is_refused_with_the_word_of_now() {
        for verb in [
            &["spawn-local", "/bin/pi"][..],
            &["spawn-agent", "/bin/pi", "--runtime", "pi"],
        ] {
            for flag in ["--jail-name", "--jail-root"] {
                let error = read(&[verb, &[flag, "atlas"]].concat()).unwrap_err();
                assert_eq!(error.kind(), Problem::ValueValidation);
                let text = error.to_string();
                assert!(text.contains("`--tenant TENANT`"), "{text}");
            }
        }
    }

    #[test]
    fn no_help_shows_them() {
        let mut top = Args::command();
        top.build();
        let mut shown = top.render_long_help().to_string();
        for verb in top.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            shown += &verb.clone().render_long_help().to_string();
        }
        for old in [
            "--capabilities",
            "--category",
            "--jail-name",
            "--jail-root",
            "Old ",
        ] {
            assert!(!shown.contains(old), "{old}");
        }
        assert!(shown.contains("--capability "), "{shown}");
    }
}
