//! What the lines of a session's file mean. Version 1; see `tests/fixtures`.

use colibri_protocol::{CostMode, Trigger, Usage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Cut;

/// The name and version of the format, in every header.
pub const SCHEMA: &str = "clawdie.colibri-session.v1";

/// The first line of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The session.
    pub session: Uuid,
    /// The agent whose it is, by name.
    pub agent: String,
    /// When it began.
    pub created_at: Timestamp,
    /// The cost mode it began with; later ones are entries.
    pub cost_mode: CostMode,
    /// SHA-256 of `prefix`, in hexadecimal.
    pub prefix_sha256: String,
    /// The immutable prefix of every prompt.
    pub prefix: String,
}

/// A further line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number of its line; the header's is 1. So a line that is lost or comes
    /// twice is noticed.
    pub line: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What happened in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Body {
    /// Somebody asked for something; a turn begins.
    User {
        /// In their words.
        text: String,
    },
    /// The agent answered.
    Assistant {
        /// In its words.
        text: String,
        /// What the answer took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// The agent used a tool.
    ToolCall {
        /// Which.
        name: String,
        /// With what, to the byte as the agent wrote it, which is usually JSON.
        arguments: String,
    },
    /// The tool answered.
    ToolResult {
        /// Which.
        name: String,
        /// Its answer, shortened to the limit of the mode.
        text: String,
        /// What was left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut: Option<Cut>,
    },
    /// Earlier entries, in short; takes their place in prompts.
    Summary {
        /// In these words.
        text: String,
        /// The last line it stands for.
        through: u64,
    },
    /// The session needed a dearer mode.
    Escalated {
        /// Before.
        from: CostMode,
        /// From now on.
        to: CostMode,
        /// Why.
        trigger: Trigger,
    },
    /// Somebody set the mode.
    ModeSet {
        /// Before.
        from: CostMode,
        /// From now on.
        to: CostMode,
    },
}

impl Body {
    /// Whether the line is on disk before the caller goes on. Calls and results of
    /// tools are many, and worth nothing without the answer that follows them: its
    /// sync takes them along.
    pub(crate) fn is_synced(&self) -> bool {
        !matches!(self, Self::ToolCall { .. } | Self::ToolResult { .. })
    }

    /// Whether it belongs to prompts; the rest is the session's own account.
    pub(crate) fn is_said(&self) -> bool {
        !matches!(self, Self::Escalated { .. } | Self::ModeSet { .. })
    }

    /// Whether a turn begins with it.
    pub(crate) fn begins_turn(&self) -> bool {
        matches!(self, Self::User { .. })
    }

    /// The line of a prompt, with its newline; the same bytes every time.
    pub(crate) fn render(&self) -> String {
        #[derive(Serialize)]
        struct Said<'a> {
            role: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            tool: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            text: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            arguments: Option<&'a str>,
        }
        let (role, tool, text, arguments) = match self {
            Self::User { text } => ("user", None, Some(text), None),
            Self::Assistant { text, .. } => ("assistant", None, Some(text), None),
            Self::ToolCall { name, arguments } => (
                "tool-call",
                Some(name.as_str()),
                None,
                Some(arguments.as_str()),
            ),
            Self::ToolResult { name, text, .. } => {
                ("tool-result", Some(name.as_str()), Some(text), None)
            }
            Self::Summary { text, .. } => ("summary", None, Some(text), None),
            Self::Escalated { .. } | Self::ModeSet { .. } => return String::new(),
        };
        let said = Said {
            role,
            tool,
            text: text.map(String::as_str),
            arguments,
        };
        // Strings and values of JSON cannot fail to become JSON.
        let mut line = serde_json::to_string(&said).unwrap_or_default();
        line.push('\n');
        line
    }
}
