//! Switches in the environment.

/// Reads a switch in any of its usual spellings.
///
/// # Errors
/// A text with the rule, without the value.
pub fn switch(text: &str) -> Result<bool, &'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Ok(true),
        "0" | "no" | "false" | "off" => Ok(false),
        _ => Err("must be 1 or 0, yes or no, true or false, on or off (in any case)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_counts_and_nothing_else() {
        for text in ["1", "yes", "TRUE", "On", " 1\n"] {
            assert_eq!(switch(text), Ok(true), "{text:?}");
        }
        for text in ["0", "NO", "false", "off"] {
            assert_eq!(switch(text), Ok(false), "{text:?}");
        }
        for text in ["", "2", "enabled", "y"] {
            assert!(switch(text).is_err(), "{text:?}");
        }
    }
}
