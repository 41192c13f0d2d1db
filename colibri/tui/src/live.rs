//! The daemon's end: one thread hears of changes, one asks for lists and one does what the operator
//! wants. So lists stay fresh while an agent takes its time to end.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use colibri_protocol::client::{Client, ClientError};
use colibri_protocol::{
    AgentLog, AgentPage, Change, Command, GetTask, JobPage, NoFields, Paging, Request, TenantPage,
};

use crate::model::{Ask, Deed, Heard, Part};

/// The pause before the first attempt to connect again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: an operator who has started the daemon should not wait for long.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// How long changes are gathered before lists are asked for again: one task that goes through the
/// scheduler is several changes.
const GATHER: Duration = Duration::from_millis(100);

/// Most agents, jobs or tenants that are asked for; more than that is no list for a person.
const MOST: usize = 5_000;

/// Lines of a log that are asked for; whoever reads further has the command line.
const LOG_LINES: u32 = 500;

/// The threads, seen from the screen's.
#[derive(Debug)]
pub struct Live {
    parts: Sender<Part>,
    deeds: Sender<Deed>,
    heard: Receiver<Heard>,
}

impl Live {
    /// Connects, and keeps connecting for as long as the program runs.
    pub fn begin(client: &Client) -> Self {
        let (tell, heard) = mpsc::channel();
        let (parts, wanted) = mpsc::channel();
        let (deeds, ordered) = mpsc::channel();
        let (listener, teller) = (client.clone(), tell.clone());
        thread::spawn(move || listen(&listener, &teller));
        let (loader, teller) = (client.clone(), tell.clone());
        thread::spawn(move || load_all(&loader, &wanted, &teller));
        let doer = client.clone();
        thread::spawn(move || do_all(&doer, &ordered, &tell));
        Self {
            parts,
            deeds,
            heard,
        }
    }

    /// Asks; what comes of it is heard later.
    pub fn ask(&self, ask: Ask) {
        // The threads end only with the program.
        match ask {
            Ask::Load(part) => drop(self.parts.send(part)),
            Ask::Do(deed) => drop(self.deeds.send(deed)),
        }
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

/// Loads what is asked for, one after the other.
fn load_all(client: &Client, wanted: &Receiver<Part>, tell: &Sender<Heard>) {
    while let Ok(first) = wanted.recv() {
        thread::sleep(GATHER);
        for part in without_repeats(std::iter::once(first).chain(wanted.try_iter())) {
            let heard = load(client, &part).unwrap_or_else(|error| Heard::Failed {
                part,
                why: error.to_string(),
            });
            if tell.send(heard).is_err() {
                return;
            }
        }
    }
}

/// Of what is asked for several times once is enough.
fn without_repeats(all: impl Iterator<Item = Part>) -> Vec<Part> {
    let mut kept = Vec::new();
    for part in all {
        if !kept.contains(&part) {
            kept.push(part);
        }
    }
    kept
}

/// Does what it is told, one after the other, as often as it is told to.
fn do_all(client: &Client, ordered: &Receiver<Deed>, tell: &Sender<Heard>) {
    while let Ok(deed) = ordered.recv() {
        let outcome = client.ask_raw(&Request::from(deed.command));
        let heard = Heard::Done {
            ticket: deed.ticket,
            outcome: outcome
                .map(|_| deed.said)
                .map_err(|error| error.to_string()),
        };
        if tell.send(heard).is_err() {
            return;
        }
    }
}

fn load(client: &Client, part: &Part) -> Result<Heard, ClientError> {
    Ok(match part {
        Part::Status => Heard::Status(Box::new(client.status()?)),
        Part::Panes => Heard::Panes(client.ask(Command::Snapshot(NoFields {}))?),
        Part::Agents => Heard::Agents(whole_list(|paging| {
            let page: AgentPage = client.ask(Command::ListAgents(paging))?;
            Ok((page.agents, page.next))
        })?),
        Part::Jobs => Heard::Jobs(whole_list(|paging| {
            let page: JobPage = client.ask(Command::ListJobs(paging))?;
            Ok((page.jobs, page.next))
        })?),
        Part::Tenants => Heard::Tenants(whole_list(|paging| {
            let page: TenantPage = client.ask(Command::ListTenants(paging))?;
            Ok((page.tenants, page.next))
        })?),
        Part::Tasks(which) => Heard::Tasks {
            which: which.clone(),
            page: client.list_tasks(which.clone())?,
        },
        Part::Log(agent) => Heard::Log {
            agent: agent.clone(),
            log: client.ask(Command::AgentLog(AgentLog {
                agent: agent.clone(),
                lines: Some(LOG_LINES),
                after: None,
            }))?,
        },
        Part::Task(id) => {
            let command = Command::GetTask(GetTask { task_id: *id });
            Heard::Task(Box::new(client.ask(command)?))
        }
    })
}

/// All pages of a list, one behind the other.
fn whole_list<T>(
    mut page: impl FnMut(Paging) -> Result<(Vec<T>, Option<String>), ClientError>,
) -> Result<Vec<T>, ClientError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let limit = Some(500);
        let (entries, next) = page(Paging { limit, after })?;
        all.extend(entries);
        after = next;
        if after.is_none() || all.len() >= MOST {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_asked_for_once() {
        let all = [Part::Status, Part::Panes, Part::Status, Part::Panes];
        let kept = without_repeats(all.into_iter());
        assert_eq!(kept, [Part::Status, Part::Panes]);
    }
}
