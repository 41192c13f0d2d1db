//! Texts of an agent, made short and harmless enough to be shown.

/// Most bytes that are kept of what an agent said.
const TAIL: usize = 4096;

/// Most characters of a name, a reason or a question.
const SHORT: usize = 300;

/// Whether a character may reach a terminal. An agent repeats what it reads, and
/// what it reads may be written to move somebody's cursor.
fn is_shown(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t')
}

/// One line of at most [`SHORT`] characters.
pub(crate) fn short(text: &str) -> String {
    let line = |c: char| if c.is_control() { ' ' } else { c };
    let mut chars = text.trim().chars();
    let mut short: String = chars.by_ref().take(SHORT).map(line).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// The end of a text that grows.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    text: String,
    /// The next piece begins a new text; the old one is shown until then.
    over: bool,
}

impl Tail {
    /// What comes next is another text.
    pub(crate) fn begin(&mut self) {
        self.over = true;
    }

    pub(crate) fn push(&mut self, piece: &str) {
        if std::mem::take(&mut self.over) {
            self.text.clear();
        }
        // Of a large piece only its end can stay.
        let piece = &piece[boundary(piece, piece.len().saturating_sub(TAIL))..];
        self.text.extend(piece.chars().filter(|&c| is_shown(c)));
        let surplus = self.text.len().saturating_sub(TAIL);
        if surplus > 0 {
            let from = boundary(&self.text, surplus);
            self.text.drain(..from);
        }
    }

    /// The whole text, instead of the pieces of it that came.
    pub(crate) fn replace(&mut self, text: &str) {
        self.begin();
        self.push(text);
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// The first place at or after `at` where a character begins.
fn boundary(text: &str, at: usize) -> usize {
    (at..text.len())
        .find(|&place| text.is_char_boundary(place))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_newest_text_stays_until_the_next_one_begins() {
        let mut tail = Tail::default();
        tail.push("Look");
        tail.push("ing…");
        assert_eq!(tail.as_str(), "Looking…");
        tail.begin();
        assert_eq!(tail.as_str(), "Looking…");
        tail.push("Found");
        assert_eq!(tail.as_str(), "Found");
        tail.replace("Found\x1b[2J it.\n");
        assert_eq!(tail.as_str(), "Found[2J it.\n");
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(short(" a\nb\x1b[0m "), "a b [0m");
        assert_eq!(short(&"ä".repeat(SHORT)).chars().count(), SHORT);
        assert!(short(&"ä".repeat(SHORT + 1)).ends_with('…'));
    }

    proptest! {
        #[test]
        fn a_tail_is_the_end_of_all_pieces(
            pieces in proptest::collection::vec(proptest::sample::select(vec!["word ", "ä", "🐦"]).prop_map(|it| it.repeat(150)), 0..20),
        ) {
            let mut tail = Tail::default();
            for piece in &pieces {
                tail.push(piece);
            }
            let whole = pieces.concat();
            prop_assert!(whole.ends_with(tail.as_str()));
            prop_assert!(tail.as_str().len() <= TAIL);
            prop_assert!(tail.as_str().len() + 4 > TAIL.min(whole.len()));
        }
    }
}
