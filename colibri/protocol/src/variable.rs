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

/// Where the agent of a host lies.
pub const AGENT: &str = "/usr/local/bin/pi";

/// All that an agent gets of the daemon's environment besides the usual.
pub fn handed_on() -> impl Iterator<Item = &'static str> {
    PROVIDER_KEYS
        .into_iter()
        .chain([PROVIDER, MODEL])
        .chain(OTHER_MODELS)
}
