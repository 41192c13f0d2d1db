//! What somebody meant who has misspelt a word.

/// Most slips that are still taken for the same word.
const MOST_SLIPS: usize = 4;

/// Of the known words the one that this one was meant to be, if it is like one of them.
///
/// A slip is a letter too many, one that is missing, another one, or two that have changed places.
/// Every third letter may be one: of `name` there is little left after two.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(known, word), known))
        .filter(|(slips, known)| *slips <= MOST_SLIPS.min(known.len() / 3))
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = ["list-tasks", "list-agents", "name", "status"];
        for (word, meant) in [
            ("list-task", Some("list-tasks")),
            ("list_agent", Some("list-agents")),
            ("stauts", Some("status")),
            ("nme", Some("name")),
            ("date", None),
            ("start", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        let long = "COLIBRI_DAEMON_DATA_DIR";
        assert_eq!(nearest("COLIBRI_DATADIR", [long]), None);
    }
}
