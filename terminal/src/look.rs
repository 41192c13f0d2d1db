//! What the terminal can show: frames of lines or of plain letters, with colours or without.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::widgets::Block;

/// How everything is drawn. State is always told by words and marks; colour only repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Frames are lines of Unicode, else `+`, `-` and `|`.
    pub lines: bool,
    /// Colours may be used.
    pub colour: bool,
}

const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

impl Look {
    /// For a terminal that may know nothing but letters.
    pub const PLAIN: Self = Self {
        lines: false,
        colour: false,
    };

    /// What this terminal can show, told from its environment: `LC_ALL`, `LC_CTYPE`, `LANG`, `TERM`
    /// and `NO_COLOR`.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let is_plain = Self::is_for_letters(&variable);
        Self {
            lines: !is_plain && (locale.contains("utf-8") || locale.contains("utf8")),
            colour: !is_plain && set("NO_COLOR").is_none(),
        }
    }

    /// Whether the terminal, told from `TERM`, is one of those that serial lines have.
    pub fn is_for_letters(variable: impl Fn(&str) -> Option<String>) -> bool {
        let terminal = variable("TERM").unwrap_or_default();
        terminal.is_empty() || terminal == "dumb" || terminal.starts_with("vt")
    }

    /// A frame.
    pub fn block(self) -> Block<'static> {
        Block::bordered().border_set(if self.lines { border::PLAIN } else { ASCII })
    }

    /// In that colour, where there are any.
    pub fn painted(self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}

/// What is chosen; works on every console.
pub const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);
/// What counts; works on every console.
pub const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> (bool, bool) {
        let look = Look::of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        (look.lines, look.colour)
    }

    #[test]
    fn a_terminal_gets_what_it_says_that_it_can() {
        let utf8 = ("LANG", "sl_SI.UTF-8");
        assert_eq!(of(&[utf8, ("TERM", "xterm-256color")]), (true, true));
        assert_eq!(of(&[("LANG", "C.utf8"), ("TERM", "linux")]), (true, true));
        assert_eq!(of(&[("LANG", "C"), ("TERM", "linux")]), (false, true));
        assert_eq!(of(&[("TERM", "linux")]), (false, true));
        for terminal in ["vt100", "vt220", "dumb", ""] {
            assert_eq!(
                of(&[utf8, ("TERM", terminal)]),
                (false, false),
                "{terminal}"
            );
        }
        let no_colour = |value| of(&[utf8, ("TERM", "xterm"), ("NO_COLOR", value)]);
        assert_eq!(no_colour("1"), (true, false));
        assert_eq!(no_colour(""), (true, true));
        // An empty variable counts as unset, so the next one speaks.
        assert!(of(&[("LC_ALL", ""), utf8, ("TERM", "xterm")]).0);
    }
}
