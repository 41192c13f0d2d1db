//! Colibri in a terminal: what every agent does, the board of tasks, and what it all costs, live.
//!
//! [`model`] holds what is known and what a key or a message changes in it, [`view`] draws it,
//! [`live`] talks to the daemon, and `keys` says which key does what. [`watch`] ties them together.

mod keys;
pub mod live;
pub mod model;
mod text;
pub mod view;

use std::io;
use std::time::Duration;

use clawdie_terminal::signal::{SIGHUP, SIGINT, SIGTERM};
use clawdie_terminal::{Happened, Look, Mouse, Screen};
use colibri_protocol::client::Client;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use live::Live;
use model::{Model, Press, Wish};

/// How long no key may be pressed before it is looked what else there is. What the daemon says is
/// shown that late at most.
const TICK: Duration = Duration::from_millis(100);

/// Shows the daemon behind `client` on this terminal, until the operator leaves or the program is
/// told to end. With `mouse`, lines and views can be clicked on, except over serial lines.
///
/// # Errors
/// There is no terminal, or it is gone.
pub fn watch(client: &Client, mouse: bool) -> io::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let look = Look::of(variable);
    let mut screen = Screen::open(&[SIGHUP, SIGINT, SIGTERM])?;
    if mouse && !Look::is_for_letters(variable) {
        screen.take_mouse()?;
    }
    let live = Live::begin(client);
    let mut model = Model::new(TimeZone::system(), Timestamp::now());
    loop {
        screen.draw(|frame| view::draw(frame, &model, look))?;
        let mut wishes = match screen.next(TICK)? {
            Happened::Typed(typed) => match keys::press(typed) {
                Some(press) => model.press(press),
                None => Vec::new(),
            },
            Happened::Mouse(mouse) => model.press(match mouse {
                Mouse::WheelUp => Press::Up,
                Mouse::WheelDown => Press::Down,
                Mouse::Click { column, row } => Press::Click { column, row },
            }),
            Happened::Redraw => {
                screen.clear()?;
                Vec::new()
            }
            Happened::Nothing => Vec::new(),
            Happened::Stop => return Ok(()),
        };
        while let Some(heard) = live.heard() {
            wishes.extend(model.hear(heard));
        }
        wishes.extend(model.tick(Timestamp::now()));
        for wish in wishes {
            match wish {
                Wish::Quit => return Ok(()),
                Wish::Ask(ask) => live.ask(ask),
            }
        }
    }
}
