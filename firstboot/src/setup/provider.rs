//! The model providers whose keys an operator may bring.

use super::schema::Key;

/// A model provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// OpenRouter: one key for every vendor's models.
    OpenRouter,
    /// DeepSeek.
    DeepSeek,
    /// Anthropic.
    Anthropic,
    /// OpenAI.
    OpenAi,
    /// Google Gemini.
    Gemini,
}

impl Provider {
    /// Every provider. Where several keys are given and nothing else is said, the first of this
    /// list is used for chat.
    pub const ALL: &'static [Provider] = &[
        Provider::OpenRouter,
        Provider::DeepSeek,
        Provider::Anthropic,
        Provider::OpenAi,
        Provider::Gemini,
    ];

    /// The agent's own id of the provider (the names of the `pi-ai` catalogue).
    pub fn id(self) -> &'static str {
        match self {
            Provider::OpenRouter => "openrouter",
            Provider::DeepSeek => "deepseek",
            Provider::Anthropic => "anthropic",
            Provider::OpenAi => "openai",
            Provider::Gemini => "google",
        }
    }

    /// The provider an operator means; `gemini` is accepted for `google`, in any case.
    pub fn from_id(text: &str) -> Option<Provider> {
        let text = text.to_ascii_lowercase();
        if text == "gemini" {
            return Some(Provider::Gemini);
        }
        Provider::ALL
            .iter()
            .copied()
            .find(|provider| provider.id() == text)
    }

    /// The provider's name for people.
    pub fn title(self) -> &'static str {
        match self {
            Provider::OpenRouter => "OpenRouter",
            Provider::DeepSeek => "DeepSeek",
            Provider::Anthropic => "Anthropic",
            Provider::OpenAi => "OpenAI",
            Provider::Gemini => "Google Gemini",
        }
    }

    /// The setting that holds this provider's key.
    pub fn key(self) -> Key {
        match self {
            Provider::OpenRouter => Key::OpenrouterApiKey,
            Provider::DeepSeek => Key::DeepseekApiKey,
            Provider::Anthropic => Key::AnthropicApiKey,
            Provider::OpenAi => Key::OpenaiApiKey,
            Provider::Gemini => Key::GeminiApiKey,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use colibri_protocol::variable;

    use super::*;

    #[test]
    fn the_daemon_hands_on_every_key_that_can_be_typed_in() {
        let ours: BTreeSet<_> = Provider::ALL.iter().map(|one| one.key().name()).collect();
        assert_eq!(ours, BTreeSet::from(variable::PROVIDER_KEYS));
        for name in variable::handed_on() {
            assert!(Key::from_name(name).is_some(), "{name} is no setting");
        }
    }
}
