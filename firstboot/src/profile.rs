//! Model profiles: `PROFILE=balanced` picks the chat, fallback and compaction models together.
//!
//! The profiles are data (`profiles.toml` on the image), so a model can be exchanged without a new
//! program. Shape of the file: `[<profile>.<provider>]` tables with `chat`, `fallback` and,
//! if it should differ from chat, `compaction`.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use crate::setup::Provider;

/// Why profile data cannot be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// Not valid TOML, an unknown key, or a missing one.
    #[error("profiles.toml cannot be read: {0}")]
    Format(#[from] toml::de::Error),
    /// A table is named after no provider we know.
    #[error(
        "profiles.toml, `[{profile}.{provider}]`: `{provider}` is not a provider; use one of openrouter, deepseek, anthropic, openai, google"
    )]
    UnknownProvider {
        /// The profile.
        profile: String,
        /// The name that was found.
        provider: String,
    },
    /// A free-tier model: they fail silently, which looks like a dead agent.
    #[error(
        "profiles.toml, `[{profile}.{provider}]`: `{model}` is a free-tier model; free tiers fail silently, name a paid model"
    )]
    FreeModel {
        /// The profile.
        profile: String,
        /// The provider.
        provider: &'static str,
        /// The model.
        model: String,
    },
    /// A model name is empty.
    #[error("profiles.toml, `[{profile}.{provider}]`: a model name is empty")]
    EmptyModel {
        /// The profile.
        profile: String,
        /// The provider.
        provider: &'static str,
    },
    /// The profile in use is not in the data.
    #[error("there is no profile `{name}` in profiles.toml (there are: {known})")]
    NoProfile {
        /// The profile asked for.
        name: String,
        /// The ones there are, joined by commas.
        known: String,
    },
    /// The profile has no models for the provider in use.
    #[error(
        "profile `{profile}` in profiles.toml has no models for {provider}; name one with `{model_key}`"
    )]
    NoProvider {
        /// The profile.
        profile: String,
        /// The provider.
        provider: &'static str,
        /// The setting that would name the model.
        model_key: &'static str,
    },
}

/// The models of one profile at one provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// The chat model.
    pub chat: String,
    /// The model used while the chat model fails.
    pub fallback: String,
    /// The model that shortens long conversations; `None` follows chat.
    pub compaction: Option<String>,
}

/// Every profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profiles(BTreeMap<String, BTreeMap<Provider, Models>>);

/// What the operator asked for.
#[derive(Debug, Clone)]
pub struct Want<'a> {
    /// The profile's name.
    pub profile: &'a str,
    /// Whose models to chat with.
    pub chat: Provider,
    /// `PI_MODEL`.
    pub chat_model: Option<&'a str>,
    /// `LLM_FALLBACK_PROVIDER`.
    pub fallback: Option<Provider>,
    /// `LLM_FALLBACK_MODEL`.
    pub fallback_model: Option<&'a str>,
    /// `AGENT_COMPACTION_PROVIDER`.
    pub compaction: Option<Provider>,
    /// `AGENT_COMPACTION_MODEL`.
    pub compaction_model: Option<&'a str>,
}

/// The models to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Chat.
    pub chat: (Provider, String),
    /// While chat fails.
    pub fallback: (Provider, String),
    /// For shortening conversations; `None` follows chat, its fallback included.
    pub compaction: Option<(Provider, String)>,
}

/// Whether a model is of a free tier.
pub fn is_free_tier(model: &str) -> bool {
    model.trim_end().to_ascii_lowercase().ends_with(":free")
}

impl Profiles {
    /// Reads profile data.
    ///
    /// # Errors
    /// Anything unknown, missing, empty, or a free-tier model is refused, by name.
    pub fn parse(text: &str) -> Result<Profiles, ProfileError> {
        let raw: BTreeMap<String, BTreeMap<String, Models>> = toml::from_str(text)?;
        let mut profiles = BTreeMap::new();
        for (profile, providers) in raw {
            let mut known = BTreeMap::new();
            for (name, models) in providers {
                let found = Provider::ALL
                    .iter()
                    .copied()
                    .find(|provider| provider.id() == name);
                let Some(provider) = found else {
                    return Err(ProfileError::UnknownProvider {
                        profile,
                        provider: name,
                    });
                };
                let all = [
                    Some(&models.chat),
                    Some(&models.fallback),
                    models.compaction.as_ref(),
                ];
                for model in all.into_iter().flatten() {
                    if model.trim().is_empty() {
                        return Err(ProfileError::EmptyModel {
                            profile,
                            provider: provider.id(),
                        });
                    }
                    if is_free_tier(model) {
                        let (provider, model) = (provider.id(), model.clone());
                        return Err(ProfileError::FreeModel {
                            profile,
                            provider,
                            model,
                        });
                    }
                }
                known.insert(provider, models);
            }
            profiles.insert(profile, known);
        }
        Ok(Profiles(profiles))
    }

    /// Every model in the data: profile, provider, models.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Provider, &Models)> {
        self.0.iter().flat_map(|(profile, providers)| {
            providers
                .iter()
                .map(move |(provider, models)| (profile.as_str(), *provider, models))
        })
    }

    /// Picks the models: the profile's, unless the operator named others.
    ///
    /// # Errors
    /// When the data has neither the profile nor the provider a choice needs.
    pub fn resolve(&self, want: &Want<'_>) -> Result<Choice, ProfileError> {
        let profile = self
            .0
            .get(want.profile)
            .ok_or_else(|| ProfileError::NoProfile {
                name: want.profile.to_owned(),
                known: self
                    .0
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
        let models = |provider: Provider, model_key: &'static str| {
            profile
                .get(&provider)
                .ok_or_else(|| ProfileError::NoProvider {
                    profile: want.profile.to_owned(),
                    provider: provider.title(),
                    model_key,
                })
        };

        let chat = match want.chat_model {
            Some(model) => model.to_owned(),
            None => models(want.chat, "PI_MODEL")?.chat.clone(),
        };

        let fallback_provider = want.fallback.unwrap_or(want.chat);
        let fallback = match want.fallback_model {
            Some(model) => model.to_owned(),
            None => {
                let there = models(fallback_provider, "LLM_FALLBACK_MODEL")?;
                // Another provider's best is the better stand-in when the first provider is down.
                let other = fallback_provider != want.chat;
                if other {
                    there.chat.clone()
                } else {
                    there.fallback.clone()
                }
            }
        };

        let compaction_provider = want.compaction.unwrap_or(want.chat);
        let compaction = match want.compaction_model {
            Some(model) => Some(model.to_owned()),
            None => match profile.get(&compaction_provider) {
                Some(there) => {
                    let other = compaction_provider != want.chat;
                    there
                        .compaction
                        .clone()
                        .or_else(|| other.then(|| there.chat.clone()))
                }
                None if want.compaction.is_some() => Some(
                    models(compaction_provider, "AGENT_COMPACTION_MODEL")?
                        .chat
                        .clone(),
                ),
                None => None,
            },
        };

        Ok(Choice {
            chat: (want.chat, chat),
            fallback: (fallback_provider, fallback),
            compaction: compaction.map(|model| (compaction_provider, model)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = r#"
        [balanced.openrouter]
        chat = "a/big"
        fallback = "b/big"
        compaction = "c/small"

        [balanced.google]
        chat = "g-pro"
        fallback = "g-flash"
    "#;

    fn want(chat: Provider) -> Want<'static> {
        Want {
            profile: "balanced",
            chat,
            chat_model: None,
            fallback: None,
            fallback_model: None,
            compaction: None,
            compaction_model: None,
        }
    }

    fn model(provider: Provider, name: &str) -> (Provider, String) {
        (provider, name.to_owned())
    }

    #[test]
    fn the_profile_sets_all_three_models() {
        let profiles = Profiles::parse(DATA).expect("good data");
        let choice = profiles
            .resolve(&want(Provider::OpenRouter))
            .expect("a choice");
        assert_eq!(choice.chat, model(Provider::OpenRouter, "a/big"));
        assert_eq!(choice.fallback, model(Provider::OpenRouter, "b/big"));
        assert_eq!(
            choice.compaction,
            Some(model(Provider::OpenRouter, "c/small"))
        );
        let choice = profiles.resolve(&want(Provider::Gemini)).expect("a choice");
        assert_eq!(
            choice.compaction, None,
            "compaction follows chat when it is not set"
        );
    }

    #[test]
    fn an_explicit_line_beats_the_profile() {
        let profiles = Profiles::parse(DATA).expect("good data");
        let choice = profiles
            .resolve(&Want {
                chat_model: Some("mine"),
                fallback: Some(Provider::Gemini),
                compaction: Some(Provider::Gemini),
                ..want(Provider::OpenRouter)
            })
            .expect("a choice");
        assert_eq!(choice.chat, model(Provider::OpenRouter, "mine"));
        assert_eq!(choice.fallback, model(Provider::Gemini, "g-pro"));
        assert_eq!(choice.compaction, Some(model(Provider::Gemini, "g-pro")));
    }

    #[test]
    fn a_provider_without_models_needs_them_named() {
        let profiles = Profiles::parse(DATA).expect("good data");
        let error = profiles
            .resolve(&want(Provider::DeepSeek))
            .expect_err("no models");
        assert!(error.to_string().contains("`PI_MODEL`"), "{error}");
        let all_named = Want {
            chat_model: Some("one"),
            fallback_model: Some("two"),
            ..want(Provider::DeepSeek)
        };
        let choice = profiles.resolve(&all_named).expect("named");
        assert_eq!(choice.fallback, model(Provider::DeepSeek, "two"));
        let unknown = Want {
            profile: "thrifty",
            ..want(Provider::OpenRouter)
        };
        let error = profiles.resolve(&unknown).expect_err("no profile");
        assert!(error.to_string().contains("there are: balanced"), "{error}");
    }

    #[test]
    fn faulty_data_is_refused_by_name() {
        let cases = [
            (
                "[balanced.openrouter]\nchat = 'a'\nfallback = 'b'\ntemperature = 1\n",
                "temperature",
            ),
            ("[balanced.openrouter]\nchat = 'a'\n", "fallback"),
            ("[balanced.groq]\nchat = 'a'\nfallback = 'b'\n", "groq"),
            (
                "[balanced.openrouter]\nchat = 'a:free'\nfallback = 'b'\n",
                "a:free",
            ),
            (
                "[balanced.openrouter]\nchat = 'a'\nfallback = ' '\n",
                "empty",
            ),
        ];
        for (data, named) in cases {
            let error = Profiles::parse(data).expect_err(data);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
