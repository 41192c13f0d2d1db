//! Environment variables that one program writes and another reads: first boot puts them into
//! `provider.env`, the daemon acts on them and hands them on to its agents. The one place that names
//! them, so that no key is written where nobody looks.

/// The keys of model providers.
pub const PROVIDER_KEYS: [&str; 5] = [
    "ANTHROPIC_API_KEY",
    "DEEPSEEK_API_KEY",
    "GEMINI_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
];

/// The provider that an agent chats with.
pub const PROVIDER: &str = "PI_PROVIDER";

/// The model that an agent chats with.
pub const MODEL: &str = "PI_MODEL";

/// What else is said of models: the one that stands in, and the one that shortens conversations.
pub const OTHER_MODELS: [&str; 5] = [
    "LLM_FALLBACK_DEFAULT_COOLDOWN_SECONDS",
    "LLM_FALLBACK_MODEL",
    "LLM_FALLBACK_PROVIDER",
    "AGENT_COMPACTION_MODEL",
    "AGENT_COMPACTION_PROVIDER",
];

/// Whether an agent is started with the daemon; read by [`switch()`](crate::switch()).
pub const AUTOSPAWN: &str = "COLIBRI_AUTOSPAWN";

/// Its program; [`AGENT`] unless it is named.
pub const AUTOSPAWN_BINARY: &str = "COLIBRI_AUTOSPAWN_BINARY";

/// Its arguments, parted by spaces; those with which it listens unless others are named.
pub const AUTOSPAWN_ARGS: &str = "COLIBRI_AUTOSPAWN_ARGS";

/// What it is asked first.
pub const AUTOSPAWN_PROMPT: &str = "COLIBRI_AUTOSPAWN_PROMPT";

/// The tenant in whose jail it is started; on the host itself unless one is named.
pub const AUTOSPAWN_TENANT: &str = "COLIBRI_AUTOSPAWN_TENANT";

/// What some of these were called before, each with what it is called now. The old names work for
/// one release.
pub const RENAMED: [(&str, &str); 4] = [
    ("COLIBRI_AUTOSPAWN_PI", AUTOSPAWN),
    ("COLIBRI_PI_BINARY", AUTOSPAWN_BINARY),
    ("COLIBRI_AUTOSPAWN_PI_ARGS", AUTOSPAWN_ARGS),
    ("COLIBRI_AUTOSPAWN_RPC_PROMPT", AUTOSPAWN_PROMPT),
];

/// Every name under which a variable is read: its own, then those of before.
pub fn names_of(name: &'static str) -> impl Iterator<Item = &'static str> {
    let before = RENAMED.into_iter().filter(move |(_, now)| *now == name);
    std::iter::once(name).chain(before.map(|(old, _)| old))
}

/// Where the agent of a host lies.
pub const AGENT: &str = "/usr/local/bin/pi";

/// All that an agent gets of the daemon's environment besides the usual.
pub fn handed_on() -> impl Iterator<Item = &'static str> {
    PROVIDER_KEYS
        .into_iter()
        .chain([PROVIDER, MODEL])
        .chain(OTHER_MODELS)
}

/// What of it an agent in a jail gets, whose keys are its tenant's own.
pub fn handed_into_jails() -> impl Iterator<Item = &'static str> {
    [PROVIDER, MODEL].into_iter().chain(OTHER_MODELS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_read_under_its_own_name_first() {
        let names: Vec<_> = names_of(AUTOSPAWN).collect();
        assert_eq!(names, [AUTOSPAWN, "COLIBRI_AUTOSPAWN_PI"]);
        assert_eq!(names_of(PROVIDER).collect::<Vec<_>>(), [PROVIDER]);
    }

    #[test]
    fn no_key_goes_into_a_jail() {
        assert!(handed_into_jails().all(|name| handed_on().any(|known| known == name)));
        assert!(handed_into_jails().all(|name| !PROVIDER_KEYS.contains(&name)));
    }

    #[test]
    fn people_are_told_of_every_old_name() {
        let page = include_str!("../../../docs/operator.md");
        for (old, now) in RENAMED {
            let row = format!("\n| `{old}` | `{now}` |\n");
            assert!(page.contains(&row), "{row}");
        }
    }
}
