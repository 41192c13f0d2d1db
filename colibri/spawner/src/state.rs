//! Where an agent process stands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The life of one agent process, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Being started; whether it can be is not known yet.
    Starting,
    /// Running.
    Running {
        /// Its process.
        pid: i32,
        /// Since when.
        since: Timestamp,
    },
    /// Told to end, or ended itself, and what it started is being ended.
    Stopping {
        /// Its process.
        pid: i32,
        /// Since when.
        since: Timestamp,
    },
    /// Gone, with everything that it had started.
    Exited(Exit),
}

/// How and when an agent ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The agent's own end.
    #[serde(flatten)]
    pub how: Ending,
    /// When the last of its processes was gone.
    pub at: Timestamp,
    /// Processes that could not be ended, usually because they wait for a device
    /// or belong to another account. Empty but for such accidents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<i32>,
}

/// What the system says of a process that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It ended itself with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It is gone, and how it ended is not known, because its leash was killed.
    Unknown,
}

impl Ending {
    /// Whether it ended as a program does that is content.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(number) {
                Ok(signal) => write!(f, "{signal}"),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::Unknown => f.write_str("an unknown end (its leash was killed)"),
        }
    }
}

impl State {
    /// The process, while there is one.
    pub fn pid(&self) -> Option<i32> {
        match self {
            Self::Running { pid, .. } | Self::Stopping { pid, .. } => Some(*pid),
            Self::Starting | Self::Exited(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_read_back_and_say_what_happened() {
        let at = Timestamp::UNIX_EPOCH;
        for how in [Ending::Code(3), Ending::Signal(9), Ending::Unknown] {
            let state = State::Exited(Exit {
                how,
                at,
                left: vec![],
            });
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(
                serde_json::from_str::<State>(&text).unwrap(),
                state,
                "{text}"
            );
        }
        assert_eq!(Ending::Code(3).to_string(), "exit code 3");
        assert_eq!(Ending::Signal(9).to_string(), "SIGKILL");
        assert_eq!(Ending::Signal(99).to_string(), "signal 99");
        assert!(Ending::Code(0).is_success() && !Ending::Signal(15).is_success());
        assert_eq!(State::Running { pid: 7, since: at }.pid(), Some(7));
    }
}
