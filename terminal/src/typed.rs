//! What is typed, the same however a terminal sends it.

use std::io;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};

/// How long the rest of an arrow key's sequence may take on a slow line.
const REST_OF_KEY: Duration = Duration::from_millis(50);

/// A key that was pressed, or a text that was pasted.
///
/// It cannot be printed: it may be a part of a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Typed {
    /// A key by itself, or with Shift.
    Key(KeyCode),
    /// A letter with Ctrl, in lower case.
    Control(char),
    /// A whole text at once.
    Paste(String),
}

impl Typed {
    /// What `event` stands for; after an Esc, what comes right behind it decides.
    pub(crate) fn read(event: KeyEvent) -> io::Result<Self> {
        if event.code == KeyCode::Esc {
            return rest_of_key().map(Self::Key);
        }
        Ok(Self::of(event))
    }

    fn of(event: KeyEvent) -> Self {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        match event.code {
            // How some terminals send Backspace and Enter.
            KeyCode::Char('h') if control => Self::Key(KeyCode::Backspace),
            KeyCode::Char('j') if control => Self::Key(KeyCode::Enter),
            KeyCode::Char(letter) if control => Self::Control(letter),
            code => Self::Key(code),
        }
    }
}

/// An Esc may be the first byte of an arrow key whose others come late over a serial line.
fn rest_of_key() -> io::Result<KeyCode> {
    let next = || -> io::Result<Option<KeyCode>> {
        if !event::poll(REST_OF_KEY)? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Key(key) => Some(key.code),
            _ => None,
        })
    };
    let Some(KeyCode::Char('[' | 'O')) = next()? else {
        return Ok(KeyCode::Esc);
    };
    Ok(match next()? {
        Some(KeyCode::Char('A')) => KeyCode::Up,
        Some(KeyCode::Char('B')) => KeyCode::Down,
        Some(KeyCode::Char('C')) => KeyCode::Right,
        Some(KeyCode::Char('D')) => KeyCode::Left,
        Some(KeyCode::Char('H')) => KeyCode::Home,
        Some(KeyCode::Char('F')) => KeyCode::End,
        Some(KeyCode::Char('Z')) => KeyCode::BackTab,
        _ => KeyCode::Esc,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_however_it_is_sent() {
        let of = |code, modifiers| Typed::of(KeyEvent::new(code, modifiers));
        let control = KeyModifiers::CONTROL;
        let backspace = Typed::Key(KeyCode::Backspace);
        assert!(of(KeyCode::Backspace, KeyModifiers::NONE) == backspace);
        assert!(of(KeyCode::Char('h'), control) == backspace);
        assert!(of(KeyCode::Char('j'), control) == Typed::Key(KeyCode::Enter));
        assert!(of(KeyCode::Char('u'), control) == Typed::Control('u'));
        // A letter with Shift comes as a capital.
        let shift = KeyModifiers::SHIFT;
        assert!(of(KeyCode::Char('U'), shift) == Typed::Key(KeyCode::Char('U')));
    }
}
