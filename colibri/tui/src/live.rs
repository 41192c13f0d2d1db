//! The daemon's end: one connection that hears of changes, and others that ask, each in a thread.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use colibri_protocol::client::{Client, ClientError};
use colibri_protocol::{Agent, AgentPage, Change, Command, GetTask, NoFields, Paging, Request};

use crate::model::{Ask, Heard, Part};

/// The pause before the first attempt to connect again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: an operator who has started the daemon should not wait for long.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// How long changes are gathered before lists are asked for again: one task that goes through the
/// scheduler is several changes.
const GATHER: Duration = Duration::from_millis(100);

/// Most agents that are asked for; more than that is no list for a person.
const MOST_AGENTS: usize = 5_000;

/// Both threads, seen from the screen's.
#[derive(Debug)]
pub struct Live {
    asks: Sender<Ask>,
    heard: Receiver<Heard>,
}

impl Live {
    /// Connects, and keeps connecting for as long as the program runs.
    pub fn begin(client: &Client) -> Self {
        let (asks, asked) = mpsc::channel();
        let (tell, heard) = mpsc::channel();
        let (listener, teller) = (client.clone(), tell.clone());
        thread::spawn(move || listen(&listener, &teller));
        let asker = client.clone();
        thread::spawn(move || answer(&asker, &asked, &tell));
        Self { asks, heard }
    }

    /// Asks; what comes of it is heard later.
    pub fn ask(&self, ask: Ask) {
        // The thread ends only with the program.
        let _ = self.asks.send(ask);
    }

    /// The next thing that was heard, if there is one already.
    pub fn heard(&self) -> Option<Heard> {
        self.heard.try_recv().ok()
    }
}

/// Hears of changes until nobody wants to know.
fn listen(client: &Client, tell: &Sender<Heard>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut is_wanted = true;
        let outcome = client.follow(|change| {
            if change == Change::Subscribed {
                pause = FIRST_PAUSE;
            }
            is_wanted = tell.send(Heard::Change(change)).is_ok();
            is_wanted
        });
        let Err(error) = outcome else { return };
        let why = error.to_string();
        if tell.send(Heard::Lost { why, pause }).is_err() {
            return;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Carries out what is asked, one after the other.
fn answer(client: &Client, asked: &Receiver<Ask>, tell: &Sender<Heard>) {
    while let Ok(first) = asked.recv() {
        if matches!(first, Ask::Load(_)) {
            thread::sleep(GATHER);
        }
        let all = std::iter::once(first).chain(asked.try_iter()).collect();
        for ask in without_repeats(all) {
            if tell.send(carry_out(client, ask)).is_err() {
                return;
            }
        }
    }
}

/// Of lists that are asked for several times the last request is enough; whatever does something is
/// done as often as it was asked for.
fn without_repeats(all: Vec<Ask>) -> Vec<Ask> {
    let mut kept: Vec<Ask> = Vec::new();
    for ask in all.into_iter().rev() {
        let again = matches!(ask, Ask::Load(_)) && kept.contains(&ask);
        if !again {
            kept.push(ask);
        }
    }
    kept.reverse();
    kept
}

fn carry_out(client: &Client, ask: Ask) -> Heard {
    match ask {
        Ask::Load(part) => load(client, &part).unwrap_or_else(|error| Heard::Failed {
            part,
            why: error.to_string(),
        }),
        Ask::Do {
            command,
            said,
            ticket,
        } => Heard::Done {
            ticket,
            outcome: client
                .ask_raw(&Request::from(command))
                .map(|_| said)
                .map_err(|error| error.to_string()),
        },
    }
}

fn load(client: &Client, part: &Part) -> Result<Heard, ClientError> {
    Ok(match part {
        Part::Status => Heard::Status(Box::new(client.status()?)),
        Part::Panes => Heard::Panes(client.ask(Command::Snapshot(NoFields {}))?),
        Part::Agents => Heard::Agents(agents(client)?),
        Part::Tasks(which) => Heard::Tasks {
            which: which.clone(),
            page: client.list_tasks(which.clone())?,
        },
        Part::Task(id) => {
            let command = Command::GetTask(GetTask { task_id: *id });
            Heard::Task(Box::new(client.ask(command)?))
        }
    })
}

fn agents(client: &Client) -> Result<Vec<Agent>, ClientError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page: AgentPage = client.ask(Command::ListAgents(Paging {
            limit: Some(500),
            after,
        }))?;
        all.extend(page.agents);
        after = page.next;
        if after.is_none() || all.len() >= MOST_AGENTS {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_asked_for_once_and_deeds_done_each_time() {
        let deed = || Ask::Do {
            command: Command::Status(NoFields {}),
            said: String::new(),
            ticket: 1,
        };
        let (status, panes) = (|| Ask::Load(Part::Status), || Ask::Load(Part::Panes));
        let all = vec![status(), deed(), panes(), status(), deed(), panes()];
        // The last of each: a list must not be older than what was done before it.
        assert_eq!(without_repeats(all), [deed(), status(), deed(), panes()]);
    }
}
