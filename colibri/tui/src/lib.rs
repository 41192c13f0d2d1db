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
use clawdie_terminal::{Happened, Look, Screen};
use colibri_protocol::client::Client;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use live::Live;
use model::{Model, Wish};

/// How long no key may be pressed before it is looked what else there is. What the daemon says is
/// shown that late at most.
const TICK: Duration = Duration::from_millis(100);

/// Shows the daemon behind `client` on this terminal, until the operator leaves or the program is
/// told to end.
///
/// # Errors
/// There is no terminal, or it is gone.
pub fn watch(client: &Client) -> io::Result<()> {
    let look = Look::of(|name| std::env::var(name).ok());
    let mut screen = Screen::open(&[SIGHUP, SIGINT, SIGTERM])?;
    let live = Live::begin(client);
    let mut model = Model::new(TimeZone::system(), Timestamp::now());
    loop {
        screen.draw(|frame| view::draw(frame, &model, look))?;
        let mut wishes = match screen.next(TICK)? {
            Happened::Typed(typed) => match keys::press(typed) {
                Some(press) => model.press(press),
                None => Vec::new(),
            },
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
