//! A prompt that fits: scratch goes first, then the oldest of the log, and never
//! the prefix.

/// Something that can be trimmed away, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// As it stands in the prompt.
    pub text: &'a str,
    /// It answers the piece before it and makes no sense without: providers
    /// refuse a tool's result whose call they have not seen.
    pub needs_previous: bool,
}

/// A prompt within its budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The whole text; its first `prefix_bytes` are the prefix.
    pub text: String,
    /// How long the prefix is.
    pub prefix_bytes: usize,
    /// How many pieces of the log are missing, all from its beginning.
    pub dropped_log: usize,
    /// How many pieces of the scratch are missing, all from its beginning.
    pub dropped_scratch: usize,
}

/// The prefix alone is over the budget; no trimming helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the prefix of the prompt has {prefix} bytes and the budget is {budget}: it is never trimmed; \
     raise the budget, choose a dearer cost mode, or begin a session with a shorter prefix"
)]
pub struct OverBudget {
    /// The prefix's length in bytes.
    pub prefix: u64,
    /// The budget in bytes.
    pub budget: u64,
}

/// Puts a prompt together.
///
/// # Errors
/// [`OverBudget`] when the prefix alone does not fit.
pub fn render(
    prefix: &str,
    log: &[Piece<'_>],
    scratch: &[&str],
    budget: u64,
) -> Result<Prompt, OverBudget> {
    let room = budget.checked_sub(prefix.len() as u64).ok_or(OverBudget {
        prefix: prefix.len() as u64,
        budget,
    })?;
    let texts = log
        .iter()
        .map(|piece| piece.text)
        .chain(scratch.iter().copied());
    let mut used: u64 = texts.map(|text| text.len() as u64).sum();

    let mut drop_oldest = |lengths: &mut dyn Iterator<Item = usize>| {
        let mut dropped = 0;
        while used > room
            && let Some(length) = lengths.next()
        {
            used -= length as u64;
            dropped += 1;
        }
        dropped
    };
    let dropped_scratch = drop_oldest(&mut scratch.iter().map(|text| text.len()));
    let mut dropped_log = drop_oldest(&mut log.iter().map(|piece| piece.text.len()));
    if dropped_log > 0 {
        while log
            .get(dropped_log)
            .is_some_and(|piece| piece.needs_previous)
        {
            dropped_log += 1;
        }
    }

    let mut text = String::with_capacity(prefix.len() + usize::try_from(used).unwrap_or(0));
    text.push_str(prefix);
    text.extend(log[dropped_log..].iter().map(|piece| piece.text));
    text.extend(scratch[dropped_scratch..].iter().copied());
    Ok(Prompt {
        text,
        prefix_bytes: prefix.len(),
        dropped_log,
        dropped_scratch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(text: &str) -> Piece<'_> {
        Piece {
            text,
            needs_previous: false,
        }
    }

    #[test]
    fn scratch_goes_before_the_log_and_the_prefix_never() {
        let log = ["one", "two"].map(piece);
        let full = |budget| render("prefix", &log, &["s", "t"], budget);
        assert_eq!(full(14).unwrap().text, "prefixonetwost");
        assert_eq!(full(13).unwrap().text, "prefixonetwot");
        assert_eq!(full(12).unwrap().text, "prefixonetwo");
        assert_eq!(full(11).unwrap().text, "prefixtwo");
        assert_eq!(full(6).unwrap().text, "prefix");
        let error = full(5).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("prefix of the prompt has 6 bytes")
        );
    }

    #[test]
    fn a_result_does_not_stay_without_its_call() {
        let mut log = ["ask", "call", "result", "answer"].map(piece);
        log[2].needs_previous = true;
        let prompt = render("", &log, &[], 12).unwrap();
        assert_eq!((prompt.text.as_str(), prompt.dropped_log), ("answer", 3));
    }

    proptest! {
        #[test]
        fn it_fits_keeps_the_order_and_drops_no_more_than_it_must(
            prefix in "[a-zä]{0,40}",
            log in proptest::collection::vec(("[a-zö]{0,20}", any::<bool>()), 0..30),
            scratch in proptest::collection::vec("[0-9]{0,20}", 0..10),
            budget in 0u64..900,
        ) {
            let log: Vec<_> = log.iter().map(|(text, needs_previous)| Piece {
                text, needs_previous: *needs_previous,
            }).collect();
            let scratch: Vec<_> = scratch.iter().map(String::as_str).collect();
            let Ok(prompt) = render(&prefix, &log, &scratch, budget) else {
                prop_assert!(prefix.len() as u64 > budget);
                return Ok(());
            };
            prop_assert!(prompt.text.len() as u64 <= budget);
            prop_assert!(prompt.text.starts_with(&prefix));
            let texts = |from: usize| log[from..].iter().map(|piece| piece.text).collect::<String>();
            let expected = format!(
                "{prefix}{}{}", texts(prompt.dropped_log), scratch[prompt.dropped_scratch..].concat()
            );
            prop_assert_eq!(&prompt.text, &expected);
            if prompt.dropped_log > 0 {
                prop_assert_eq!(prompt.dropped_scratch, scratch.len());
                // One piece more would not have fitted, or have made no sense.
                let before = prompt.dropped_log - 1;
                let fits = prefix.len() + texts(before).len() <= budget as usize;
                prop_assert!(!fits || log[before].needs_previous);
            } else if prompt.dropped_scratch > 0 {
                let before = scratch[prompt.dropped_scratch - 1..].concat();
                prop_assert!(prefix.len() + texts(0).len() + before.len() > budget as usize);
            }
        }
    }
}
