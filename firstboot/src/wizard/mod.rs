//! The dialogue that fills in or corrects `setup.txt` where the machine stands.
//!
//! [`model`] holds the answers and asks the one check there is, [`view`] draws them, [`place`] reads and saves, and
//! `terminal` is the only part that touches one. [`hold`] ties them together.

pub mod model;
pub mod place;
mod terminal;
pub mod view;

use std::io;

use model::Answer;
use place::{Place, Saved};
use terminal::{Happened, Screen};

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
    let mut screen = Screen::open()?;
    loop {
        let ended = match place.read() {
            Ok(held) => Some(ask(&mut screen, place, &held)?),
            Err(why) => wait_for_seed(&mut screen, place, &why)?,
        };
        if let Some(ending) = ended {
            return Ok(ending);
        }
    }
}

fn ask(screen: &mut Screen, place: &dyn Place, held: &place::Held) -> io::Result<Ending> {
    let mut wizard = place::begin(held, place.purpose());
    let frames = screen.frames;
    loop {
        screen.draw(|frame| view::draw(frame, &wizard, frames))?;
        match screen.next()? {
            Happened::Press(press) => match wizard.press(&press) {
                Answer::Stay => {}
                Answer::Leave => return Ok(Ending::Left),
                Answer::Save => match place::save(place, &wizard, held) {
                    Ok(saved) => return Ok(Ending::Saved(saved)),
                    Err(why) => {
                        wizard.say(format!("Not saved; your answers are still here. {why}"))
                    }
                },
            },
            Happened::Redraw => screen.clear()?,
            Happened::Nothing if place.is_done_elsewhere() => return Ok(Ending::DoneElsewhere),
            Happened::Nothing => {}
            Happened::Stop => return Ok(Ending::Left),
        }
    }
}

/// Says why there is nothing to write to, until the operator wants to look again (`None`) or leaves.
fn wait_for_seed(screen: &mut Screen, place: &dyn Place, why: &str) -> io::Result<Option<Ending>> {
    use model::Press;
    let frames = screen.frames;
    let text = format!("{why}.\n\nOr put that right now, and look again.");
    let mut leaving = false;
    loop {
        screen.draw(|frame| view::draw_notice(frame, &text, leaving, frames))?;
        match screen.next()? {
            Happened::Press(Press::Enter) if leaving => return Ok(Some(Ending::Left)),
            Happened::Press(Press::Enter) => return Ok(None),
            Happened::Press(Press::Escape) => leaving = true,
            Happened::Press(Press::Next | Press::Previous | Press::Left | Press::Right) => {
                leaving = !leaving;
            }
            Happened::Press(_) => {}
            Happened::Redraw => screen.clear()?,
            Happened::Nothing if place.is_done_elsewhere() => {
                return Ok(Some(Ending::DoneElsewhere));
            }
            Happened::Nothing => {}
            Happened::Stop => return Ok(Some(Ending::Left)),
        }
    }
}
