//! When a session is compacted, and what becomes of it.

use colibri_protocol::Thresholds;

use crate::entry::{Body, Entry};

/// How much of a session counts, after the last compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the prefix.
    pub prefix: u64,
    /// Bytes of the log, as it stands in prompts.
    pub log: u64,
    /// Turns that are kept word by word.
    pub turns: u32,
}

/// Why a session must be compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It has more turns than the mode keeps word by word.
    Turns,
    /// Prefix and log are over the mode's budget.
    Bytes,
}

/// Whether it must be compacted now. Bytes come first: they are the harder limit.
pub fn need(size: Size, limits: &Thresholds) -> Option<Need> {
    if size.prefix.saturating_add(size.log) > limits.session_bytes {
        Some(Need::Bytes)
    } else if size.turns > limits.turns {
        Some(Need::Turns)
    } else {
        None
    }
}

/// What takes the place of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many entries, from the beginning, the summary stands for.
    pub entries: usize,
    /// The last line among them.
    pub through: u64,
}

/// Which entries to summarise so that half of the mode's limits is free again; at
/// least the turn at hand stays word by word. `None` when nothing is before it
/// that has not been summarised already.
///
/// Half, because a session that is compacted to its very limit is compacted again
/// with the next turn, and every compaction costs the provider's cache.
pub fn plan(log: &[Entry], prefix: u64, limits: &Thresholds) -> Option<Plan> {
    let room = (limits.session_bytes / 2).saturating_sub(prefix);
    let most = (limits.turns / 2).max(1);
    let (mut bytes, mut turns) = (0_u64, 0);
    let mut cut = None;
    for (at, entry) in log.iter().enumerate().rev() {
        bytes = bytes.saturating_add(entry.body.render().len() as u64);
        if !entry.body.begins_turn() {
            continue;
        }
        if turns > 0 && (bytes > room || turns >= most) {
            break;
        }
        turns += 1;
        cut = Some(at);
    }
    let entries = cut?;
    // An earlier summary stands first and was written later than what follows it.
    let news = |entry: &&Entry| !matches!(entry.body, Body::Summary { .. });
    let through = log[..entries].iter().rfind(news)?.line;
    Some(Plan { entries, through })
}

/// How long a line of a summary may get, in bytes.
const LINE: usize = 300;

/// A summary made without a model: what was asked, which tools were used, how the
/// answer began. It never has more than `most` bytes; its oldest lines go first.
///
/// An agent that can do better hands in its own words instead.
pub fn summarise(log: &[Entry], most: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for entry in log {
        match &entry.body {
            Body::Summary { text, .. } => lines.extend(text.lines().map(str::to_owned)),
            Body::User { text } => lines.push(format!("asked: {}", start(text))),
            Body::Assistant { text, .. } => lines.push(format!("answered: {}", start(text))),
            Body::ToolCall { name, arguments } => {
                lines.push(format!("used {name}: {}", start(arguments)));
            }
            Body::ToolResult { .. } | Body::Escalated { .. } | Body::ModeSet { .. } => {}
        }
    }
    let mut length = 0;
    let kept = lines
        .iter()
        .rev()
        .take_while(|line| {
            length += line.len() + 1;
            length <= most
        })
        .count();
    lines.split_off(lines.len() - kept).join("\n")
}

/// The beginning of a text on one line.
fn start(text: &str) -> String {
    let end = text.floor_char_boundary(LINE);
    let mut line = text[..end].split_whitespace().collect::<Vec<_>>().join(" ");
    if end < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    const LIMITS: Thresholds = Thresholds {
        session_bytes: 1000,
        turns: 4,
        tool_result_bytes: None,
    };

    fn log(bodies: impl IntoIterator<Item = Body>) -> Vec<Entry> {
        let entry = |(at, body)| Entry {
            line: at as u64 + 2,
            at: Timestamp::UNIX_EPOCH,
            body,
        };
        bodies.into_iter().enumerate().map(entry).collect()
    }

    fn turn(text: &str) -> [Body; 2] {
        let text = text.to_owned();
        [
            Body::User { text: text.clone() },
            Body::Assistant { text, usage: None },
        ]
    }

    #[test]
    fn the_limit_itself_is_no_need() {
        let size = |prefix, log, turns| Size { prefix, log, turns };
        assert_eq!(need(size(400, 600, 4), &LIMITS), None);
        assert_eq!(need(size(400, 601, 9), &LIMITS), Some(Need::Bytes));
        assert_eq!(need(size(400, 600, 5), &LIMITS), Some(Need::Turns));
    }

    #[test]
    fn the_newest_turns_stay_and_the_rest_is_summarised_once() {
        let five = log(["a", "b", "c", "d", "e"].iter().flat_map(|text| turn(text)));
        let plan = plan(&five, 0, &LIMITS).unwrap();
        assert_eq!((plan.entries, plan.through), (6, 7));
        let summary = summarise(&five[..plan.entries], 1000);
        assert_eq!(
            summary,
            "asked: a\nanswered: a\nasked: b\nanswered: b\nasked: c\nanswered: c"
        );
        assert_eq!(
            summarise(&five[..plan.entries], 25),
            "asked: c\nanswered: c"
        );
    }

    #[test]
    fn the_turn_at_hand_is_never_summarised() {
        let one = log(turn(&"x".repeat(5000)));
        assert_eq!(plan(&one, 0, &LIMITS), None);
        let summary = Body::Summary {
            text: "before".into(),
            through: 1,
        };
        let both = log(std::iter::once(summary).chain(turn("x")));
        assert_eq!(plan(&both, 0, &LIMITS), None);
        assert_eq!(plan(&[], 0, &LIMITS), None);
    }

    #[test]
    fn an_earlier_summary_is_no_measure_of_lines() {
        let summary = Body::Summary {
            text: "before".into(),
            through: 1,
        };
        let turns = ["a", "b", "c"].iter().flat_map(|text| turn(text));
        let mut all = log(std::iter::once(summary).chain(turns));
        all[0].line = 99;
        let plan = plan(&all, 0, &LIMITS).unwrap();
        assert_eq!((plan.entries, plan.through), (3, 4));
    }

    proptest! {
        #[test]
        fn a_plan_begins_at_a_turn_and_leaves_one(
            sizes in proptest::collection::vec(0usize..600, 0..20), prefix in 0u64..2000,
        ) {
            let log = log(sizes.iter().flat_map(|&size| turn(&"x".repeat(size))));
            if let Some(plan) = plan(&log, prefix, &LIMITS) {
                prop_assert!(log[plan.entries].body.begins_turn());
                prop_assert_eq!(plan.through + 1, log[plan.entries].line);
                let kept = log[plan.entries..].iter().filter(|e| e.body.begins_turn()).count();
                prop_assert!((1..=2).contains(&kept));
            } else {
                prop_assert!(sizes.len() <= 2);
            }
        }

        #[test]
        fn a_summary_is_never_too_long(texts in proptest::collection::vec(".{0,500}", 0..10), most in 0usize..900) {
            let log = log(texts.iter().flat_map(|text| turn(text)));
            prop_assert!(summarise(&log, most).len() <= most);
        }
    }
}
