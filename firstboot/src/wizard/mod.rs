//! The dialogue that fills in or corrects `setup.txt` where the machine stands.
//!
//! [`model`] holds the answers and asks the one check there is, [`view`] draws them, [`place`] reads and saves, and
//! `keys` says which key does what. [`hold`] ties them together.

mod keys;
pub mod model;
pub mod place;
pub mod view;

use std::io;
use std::time::Duration;

use clawdie_terminal::signal::{SIGINT, SIGTERM};
use clawdie_terminal::{Happened, Look, Screen};

use model::{Answer, Press};
use place::{Place, Saved};

/// How long nothing may happen before the dialogue looks around.
const TICK: Duration = Duration::from_millis(500);

/// How a dialogue ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// The answers are saved.
    Saved(Saved),
    /// The operator left, or the program was told to end.
    Left,
    /// Another console was faster.
    DoneElsewhere,
}

/// Holds the dialogue on this terminal, until the answers are saved or the operator leaves.
///
/// # Errors
/// There is no terminal, or it is gone.
pub fn hold(place: &dyn Place) -> io::Result<Ending> {
    // SIGHUP says that there is no terminal any more, so there is none to give back.
    let mut screen = Screen::open(&[SIGINT, SIGTERM])?;
    let look = Look::of(|name| std::env::var(name).ok());
    loop {
        let ended = match place.read() {
            Ok(held) => Some(ask(&mut screen, look, place, &held)?),
            Err(why) => wait_for_seed(&mut screen, look, place, &why)?,
        };
        if let Some(ending) = ended {
            return Ok(ending);
        }
    }
}

fn ask(
    screen: &mut Screen,
    look: Look,
    place: &dyn Place,
    held: &place::Held,
) -> io::Result<Ending> {
    let mut wizard = place::begin(held, place.purpose());
    loop {
        screen.draw(|frame| view::draw(frame, &wizard, look))?;
        match screen.next(TICK)? {
            Happened::Typed(typed) => match keys::press(typed).map(|press| wizard.press(&press)) {
                None | Some(Answer::Stay) => {}
                Some(Answer::Leave) => return Ok(Ending::Left),
                Some(Answer::Save) => match place::save(place, &wizard, held) {
                    Ok(saved) => return Ok(Ending::Saved(saved)),
                    Err(why) => {
                        wizard.say(format!("Not saved; your answers are still here. {why}"))
                    }
                },
            },
            Happened::Redraw => screen.clear()?,
            Happened::Nothing if place.is_done_elsewhere() => return Ok(Ending::DoneElsewhere),
            Happened::Mouse(_) | Happened::Nothing => {}
            Happened::Stop => return Ok(Ending::Left),
        }
    }
}

/// Says why there is nothing to write to, until the operator wants to look again (`None`) or leaves.
fn wait_for_seed(
    screen: &mut Screen,
    look: Look,
    place: &dyn Place,
    why: &str,
) -> io::Result<Option<Ending>> {
    let text = format!("{why}.\n\nOr put that right now, and look again.");
    let mut leaving = false;
    loop {
        screen.draw(|frame| view::draw_notice(frame, &text, leaving, look))?;
        match screen.next(TICK)? {
            Happened::Typed(typed) => match keys::press(typed) {
                Some(Press::Enter) if leaving => return Ok(Some(Ending::Left)),
                Some(Press::Enter) => return Ok(None),
                Some(Press::Escape) => leaving = true,
                Some(Press::Next | Press::Previous | Press::Left | Press::Right) => {
                    leaving = !leaving;
                }
                _ => {}
            },
            Happened::Redraw => screen.clear()?,
            Happened::Nothing if place.is_done_elsewhere() => {
                return Ok(Some(Ending::DoneElsewhere));
            }
            Happened::Mouse(_) | Happened::Nothing => {}
            Happened::Stop => return Ok(Some(Ending::Left)),
        }
    }
}
