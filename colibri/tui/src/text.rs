//! Texts made fit for a screen.

use jiff::Timestamp;
use ratatui::text::Span;

/// Without what could command the terminal or make text read in another order: others wrote it.
/// Line ends stay.
pub(crate) fn tame(text: &str) -> String {
    text.chars()
        .filter(|letter| *letter != '\r')
        .map(|letter| match letter {
            '\n' => letter,
            '\t' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '?',
            _ if letter.is_control() => '?',
            _ => letter,
        })
        .collect()
}

/// The same as one line.
pub(crate) fn line(text: &str) -> String {
    tame(text).replace('\n', " ")
}

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The start of a text, with dots where it goes on.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut start = text.to_owned();
    while !start.is_empty() && width(&start) + 3 > columns {
        start.pop();
    }
    start.push_str(&"..."[..columns.min(3)]);
    start
}

/// The text in lines of at most so many columns, broken between words where that is possible.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let (mut line, mut used) = (String::new(), 0);
        for word in paragraph.split_inclusive(' ') {
            let bare = width(word.trim_end());
            if used > 0 && used + bare > columns {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            // A word longer than a line is broken wherever the line ends.
            for letter in word.chars() {
                let wide = width(letter.encode_utf8(&mut [0; 4]));
                if used > 0 && used + wide > columns {
                    if letter == ' ' {
                        continue;
                    }
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push(letter);
                used += wide;
            }
        }
        lines.push(line);
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

/// How long ago something was, short: `9 s`, `5 min`, `3 h 20 min`, `4 d`.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> String {
    // Clocks differ a little; nothing is from the future.
    let seconds = now.as_second().saturating_sub(at.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 if minutes % 60 == 0 => format!("{hours} h"),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d"),
    }
}

/// How far ahead something is: `in 5 min`; `now` once it is due.
pub(crate) fn ahead(at: Timestamp, now: Timestamp) -> String {
    if at <= now {
        return "now".to_owned();
    }
    format!("in {}", age(now, at))
}

/// A number of tokens, short: `999`, `12.3k`, `4.5M`.
pub(crate) fn tokens(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{:.1}k", count as f64 / 1e3),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_others_wrote_cannot_repaint_the_terminal() {
        assert_eq!(tame("\u{1b}[2Jgone\u{202e}\r\nž\t"), "?[2Jgone?\nž ");
        assert_eq!(line("a\nb"), "a b");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("a\n\nb", 9), ["a", "", "b"]);
        assert_eq!(cut("abcdefgh", 6), "abc...");
        assert_eq!(cut("abcdefgh", 2), "..");
    }

    #[test]
    fn ages_and_counts_are_short() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ago = |seconds: i64| age(Timestamp::from_second(1_000_000 - seconds).unwrap(), now);
        assert_eq!(
            [ago(-5), ago(59), ago(60), ago(7200)],
            ["0 s", "59 s", "1 min", "2 h"]
        );
        assert_eq!([ago(7260), ago(90_000)], ["2 h 1 min", "1 d"]);
        let then = Timestamp::from_second(1_000_300).unwrap();
        assert_eq!([ahead(then, now), ahead(now, then)], ["in 5 min", "now"]);
        assert_eq!(
            [tokens(9999), tokens(12_345), tokens(4_500_000)],
            ["9999", "12.3k", "4.5M"]
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_too_wide(text in "[a-zž漢 \n]{0,80}", columns in 2usize..30) {
            let lines = wrap(&text, columns);
            for line in &lines {
                prop_assert!(width(line) <= columns, "{line:?}");
            }
            let bare = |text: &str| text.replace([' ', '\n'], "");
            prop_assert_eq!(bare(&lines.concat()), bare(&text));
            prop_assert!(width(&cut(&text, columns)) <= columns);
        }
    }
}
