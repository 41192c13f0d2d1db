//! Which key means what.

use clawdie_terminal::Typed;
use ratatui::crossterm::event::KeyCode;

use crate::model::Press;

/// What it asks for; `None` when nothing.
pub(crate) fn press(typed: Typed) -> Option<Press> {
    Some(match typed {
        Typed::Control('u') => Press::Clear,
        Typed::Control('c') => Press::Quit,
        Typed::Control(_) => return None,
        Typed::Paste(text) => Press::Paste(text),
        Typed::Key(code) => match code {
            KeyCode::Char(letter) => Press::Char(letter),
            KeyCode::Enter => Press::Enter,
            KeyCode::Esc => Press::Escape,
            KeyCode::Tab => Press::Tab,
            KeyCode::BackTab => Press::BackTab,
            KeyCode::Up => Press::Up,
            KeyCode::Down => Press::Down,
            KeyCode::Left => Press::Left,
            KeyCode::Right => Press::Right,
            KeyCode::PageUp => Press::PageUp,
            KeyCode::PageDown => Press::PageDown,
            KeyCode::Home => Press::Home,
            KeyCode::End => Press::End,
            KeyCode::Backspace => Press::Backspace,
            KeyCode::Delete => Press::Delete,
            _ => return None,
        },
    })
}
