//! Skills: what is written down for agents to read.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ErrorKind, Name, ReplyError};

/// The fields of `register-skill`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterSkill {
    /// Registering a name again updates the rest.
    pub name: Name,
    /// What it is good for, at most 1000 characters.
    #[schemars(length(max = 1000))]
    pub description: String,
    /// Where it is written, such as `/…/skills/vault/SKILL.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl RegisterSkill {
    /// Most characters in a description, and most bytes in a path.
    pub const MAX_CHARS: usize = 1000;

    /// Checks lengths and characters.
    ///
    /// # Errors
    /// `bad-request`, naming the field and the rule.
    pub fn check(&self) -> Result<(), ReplyError> {
        let path = self.path.as_deref().unwrap_or_default();
        let wrong = if self.description.chars().count() > Self::MAX_CHARS {
            "`description` must have at most 1000 characters"
        } else if self
            .description
            .chars()
            .any(|c| c.is_control() && c != '\n')
        {
            "`description` must not have control characters except newline"
        } else if path.len() > Self::MAX_CHARS || path.chars().any(char::is_control) {
            "`path` must have at most 1000 bytes and no control characters"
        } else {
            return Ok(());
        };
        Err(ReplyError::new(ErrorKind::BadRequest, wrong))
    }
}

/// A skill in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skill {
    /// Its name.
    pub name: Name,
    /// What it is good for.
    pub description: String,
    /// Where it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When it was first registered (UTC).
    pub registered_at: Timestamp,
    /// When it last changed (UTC).
    pub updated_at: Timestamp,
}

/// The reply to `list-skills`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkillPage {
    /// By name.
    pub skills: Vec<Skill>,
    /// Give this as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The folder in which the daemon finds skills by itself, each as `NAME/SKILL.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// What lies in that folder and is no skill, or is one with a fault; on the first page only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<SkillFinding>,
}

/// Something that is wrong in the folder of skills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkillFinding {
    /// The file or folder.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}
