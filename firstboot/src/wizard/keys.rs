//! Which key means what.

use clawdie_terminal::Typed;
use ratatui::crossterm::event::KeyCode;

use super::model::Press;

/// What it asks for; `None` when nothing.
pub(super) fn press(typed: Typed) -> Option<Press> {
    Some(match typed {
        Typed::Control('r') => Press::Reveal,
        Typed::Control('u') => Press::Clear,
        Typed::Control('c') => Press::Escape,
        Typed::Control(_) => return None,
        Typed::Paste(text) => Press::Paste(text.into()),
        Typed::Key(code) => match code {
            KeyCode::Char(letter) => Press::Char(letter),
            KeyCode::Enter => Press::Enter,
            KeyCode::Esc => Press::Escape,
            KeyCode::Tab | KeyCode::Down => Press::Next,
            KeyCode::BackTab | KeyCode::Up => Press::Previous,
            KeyCode::Left => Press::Left,
            KeyCode::Right => Press::Right,
            KeyCode::Home => Press::Home,
            KeyCode::End => Press::End,
            KeyCode::Backspace => Press::Backspace,
            KeyCode::Delete => Press::Delete,
            _ => return None,
        },
    })
}
