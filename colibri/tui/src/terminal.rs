//! The terminal: raw while the screen is shown, and as it was afterwards, come what may.

use std::io::{self, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, EnableBracketedPaste, Event, KeyCode, KeyEvent, KeyEventKind,
    KeyModifiers,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::model::Press;
use crate::view::SIZE;

/// How long no key may be pressed before it is looked what else there is. What the daemon says is
/// shown that late at most.
const TICK: Duration = Duration::from_millis(100);

/// How long the rest of an arrow key's sequence may take on a slow line.
const REST_OF_KEY: Duration = Duration::from_millis(50);

/// What came next.
pub(crate) enum Happened {
    /// A press.
    Press(Press),
    /// The screen has to be drawn anew as a whole.
    Redraw,
    /// Nothing, for a while.
    Nothing,
    /// The program is to end.
    Stop,
}

/// The terminal while it is ours.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    stop: Arc<AtomicBool>,
    _raw: Raw,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn open() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            flag::register(signal, stop.clone())?;
        }
        restore_on_panic();
        enable_raw_mode()?;
        // From here on whatever fails gives the terminal back.
        let raw = Raw;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        // A serial line often does not know how large the terminal at its other end is.
        let viewport = match size() {
            Ok((columns, rows)) if columns > 0 && rows > 0 => Viewport::Fullscreen,
            _ => Viewport::Fixed(Rect::new(0, 0, SIZE.0, SIZE.1)),
        };
        let backend = CrosstermBackend::new(io::stdout());
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport })?;
        let mut screen = Self {
            terminal,
            stop,
            _raw: raw,
        };
        screen.clear()?;
        Ok(screen)
    }

    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }

    /// Clears what others have printed over it.
    ///
    /// Not by the terminal's own `clear`, which asks where the cursor is: whatever listens at the
    /// other end of a serial line may never answer.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        let area = self.terminal.get_frame().area();
        self.terminal.resize(area)
    }

    /// Waits for something to happen.
    pub(crate) fn next(&self) -> io::Result<Happened> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(Happened::Stop);
        }
        if !event::poll(TICK)? {
            return Ok(Happened::Nothing);
        }
        Ok(match event::read()? {
            Event::Key(key) if key.kind == KeyEventKind::Release => Happened::Nothing,
            Event::Key(key) if key.code == KeyCode::Esc => Happened::Press(rest_of_key()?),
            Event::Key(key) if is_control(key, 'l') => Happened::Redraw,
            Event::Key(key) => press_of(key).map_or(Happened::Nothing, Happened::Press),
            Event::Paste(text) => Happened::Press(Press::Paste(text)),
            Event::Resize(..) => Happened::Redraw,
            _ => Happened::Nothing,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Terminals without a second screen would keep the last picture.
        let _ = self.clear();
    }
}

/// Gives the terminal back when it is dropped.
struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// As it was before. What cannot be undone cannot be helped either.
fn restore() {
    let _ = execute!(
        io::stdout(),
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    let _ = disable_raw_mode();
}

fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}

fn is_control(key: KeyEvent, letter: char) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char(letter)
}

fn press_of(key: KeyEvent) -> Option<Press> {
    Some(match key.code {
        _ if is_control(key, 'u') => Press::Clear,
        _ if is_control(key, 'c') => Press::Quit,
        // How some terminals send Backspace and Enter.
        _ if is_control(key, 'h') => Press::Backspace,
        _ if is_control(key, 'j') => Press::Enter,
        KeyCode::Char(_) if key.modifiers.contains(KeyModifiers::CONTROL) => return None,
        KeyCode::Char(letter) => Press::Char(letter),
        KeyCode::Enter => Press::Enter,
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
    })
}

/// An Esc may be the first byte of an arrow key whose others come late over a serial line.
fn rest_of_key() -> io::Result<Press> {
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
        return Ok(Press::Escape);
    };
    Ok(match next()? {
        Some(KeyCode::Char('A')) => Press::Up,
        Some(KeyCode::Char('B')) => Press::Down,
        Some(KeyCode::Char('C')) => Press::Right,
        Some(KeyCode::Char('D')) => Press::Left,
        Some(KeyCode::Char('H')) => Press::Home,
        Some(KeyCode::Char('F')) => Press::End,
        Some(KeyCode::Char('Z')) => Press::BackTab,
        _ => Press::Escape,
    })
}
