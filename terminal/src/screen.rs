//! The terminal: raw while the screen is shown, and as it was afterwards, come what may.

use std::ffi::c_int;
use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, EnableBracketedPaste, Event, KeyEventKind, MouseButton,
    MouseEvent, MouseEventKind,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use signal_hook::flag;

use crate::Typed;

/// Columns and rows of the smallest screen that programs are made for, and what a line is taken for that does not tell
/// its size.
pub const SIZE: (u16, u16) = (80, 24);

/// Makes terminals tell of buttons and the wheel, not of each movement: that would be much over a slow line.
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
/// The reverse.
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";

/// The mouse is ours and has to be given back.
static MOUSE: AtomicBool = AtomicBool::new(false);

/// What a mouse did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mouse {
    /// The wheel was turned away from the hand.
    WheelUp,
    /// The wheel was turned towards the hand.
    WheelDown,
    /// The left button was pressed.
    Click {
        /// From the left, the first is 0.
        column: u16,
        /// From above, the first is 0.
        row: u16,
    },
}

/// What came next.
pub enum Happened {
    /// Somebody typed.
    Typed(Typed),
    /// The mouse did something; only after [`Screen::take_mouse`].
    Mouse(Mouse),
    /// The screen has to be drawn anew as a whole.
    Redraw,
    /// Nothing, for a while.
    Nothing,
    /// The program is to end.
    Stop,
}

/// The terminal while it is ours.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    signals: &'static Signals,
    _raw: Raw,
}

impl Screen {
    /// Takes the terminal. Until it is dropped, `signals` make [`next`](Self::next) say [`Happened::Stop`]; before and
    /// after that they end the program as they always do. A program has one set of signals: that of the first call.
    ///
    /// # Errors
    /// Standard input and output are no terminal, or it does not take orders.
    pub fn open(signals: &[c_int]) -> io::Result<Self> {
        if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            return Err(io::Error::other(
                "standard input and output must be a terminal",
            ));
        }
        let signals = Signals::caught(signals)?;
        signals.end_at_once.store(false, Ordering::Relaxed);
        restore_on_panic();
        enable_raw_mode()?;
        // From here on whatever fails gives the terminal back.
        let raw = Raw;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        let viewport = if is_size_known() {
            Viewport::Fullscreen
        } else {
            Viewport::Fixed(Rect::new(0, 0, SIZE.0, SIZE.1))
        };
        let backend = CrosstermBackend::new(io::stdout());
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport })?;
        let mut screen = Self {
            terminal,
            signals,
            _raw: raw,
        };
        screen.clear()?;
        Ok(screen)
    }

    /// Hears of the mouse, too. From then on most terminals mark text for copying only while Shift is held. A line
    /// that does not know its size is a serial one, and keeps its mouse.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn take_mouse(&mut self) -> io::Result<()> {
        if !is_size_known() {
            return Ok(());
        }
        MOUSE.store(true, Ordering::Relaxed);
        let mut out = io::stdout();
        out.write_all(MOUSE_ON)?;
        out.flush()
    }

    /// Draws a whole picture.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }

    /// Clears what others have printed over it.
    ///
    /// Not by the terminal's own `clear`, which asks where the cursor is: whatever listens at the other end of a serial
    /// line may never answer.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        let area = self.terminal.get_frame().area();
        self.terminal.resize(area)
    }

    /// Waits for something to happen, at most that long.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn next(&self, patience: Duration) -> io::Result<Happened> {
        if self.signals.stop.load(Ordering::Relaxed) {
            return Ok(Happened::Stop);
        }
        if !event::poll(patience)? {
            return Ok(Happened::Nothing);
        }
        Ok(match event::read()? {
            Event::Key(key) if key.kind == KeyEventKind::Release => Happened::Nothing,
            Event::Key(key) => match Typed::read(key)? {
                Typed::Control('l') => Happened::Redraw,
                typed => Happened::Typed(typed),
            },
            Event::Mouse(event) => mouse(event).map_or(Happened::Nothing, Happened::Mouse),
            Event::Paste(text) => Happened::Typed(Typed::Paste(text)),
            Event::Resize(..) => Happened::Redraw,
            _ => Happened::Nothing,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Consoles without a second screen would keep the last picture.
        let _ = self.clear();
        self.signals.end_at_once.store(true, Ordering::Relaxed);
    }
}

/// Signals that end a program. While the terminal is ours it is given back first.
#[derive(Debug)]
struct Signals {
    stop: Arc<AtomicBool>,
    /// Without a terminal to give back a signal does what it always does.
    end_at_once: Arc<AtomicBool>,
}

impl Signals {
    fn caught(which: &[c_int]) -> io::Result<&'static Self> {
        static CAUGHT: OnceLock<Signals> = OnceLock::new();
        if let Some(signals) = CAUGHT.get() {
            return Ok(signals);
        }
        let signals = Self {
            stop: Arc::default(),
            end_at_once: Arc::default(),
        };
        for &signal in which {
            flag::register_conditional_default(signal, signals.end_at_once.clone())?;
            flag::register(signal, signals.stop.clone())?;
        }
        Ok(CAUGHT.get_or_init(|| signals))
    }
}

/// Gives the terminal back when it is dropped.
#[derive(Debug)]
struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// A serial line often does not know how large the terminal at its other end is.
fn is_size_known() -> bool {
    matches!(size(), Ok((1.., 1..)))
}

fn mouse(event: MouseEvent) -> Option<Mouse> {
    match event.kind {
        MouseEventKind::ScrollUp => Some(Mouse::WheelUp),
        MouseEventKind::ScrollDown => Some(Mouse::WheelDown),
        MouseEventKind::Down(MouseButton::Left) => Some(Mouse::Click {
            column: event.column,
            row: event.row,
        }),
        _ => None,
    }
}

/// As it was before. What cannot be undone cannot be helped either.
fn restore() {
    if MOUSE.swap(false, Ordering::Relaxed) {
        let _ = io::stdout().write_all(MOUSE_OFF);
    }
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
