//! What the operator does, and what comes of it.

use colibri_protocol::{ListTasks, Name, TaskStatus};
use ratatui::layout::Position;

use super::{Form, Model, Over, Part, Question, TASKS, View, Wish, load};

/// Lines that a page goes up or down.
const PAGE: usize = 10;

/// What the operator did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Press {
    /// Typed a character.
    Char(char),
    /// Pasted a text.
    Paste(String),
    /// Looks closer, or sends a form.
    Enter,
    /// One step back.
    Escape,
    /// The next view or field.
    Tab,
    /// The one before.
    BackTab,
    /// The line above.
    Up,
    /// The line below.
    Down,
    /// Within a text, or the choice before.
    Left,
    /// Within a text, or the choice behind.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first line, or the start of a text.
    Home,
    /// The last line, or the end of a text.
    End,
    /// Removes the character before the cursor.
    Backspace,
    /// Removes the one under it.
    Delete,
    /// Empties the field.
    Clear,
    /// Leaves, wherever it is pressed.
    Quit,
    /// Clicked there.
    Click {
        /// From the left, the first is 0.
        column: u16,
        /// From above, the first is 0.
        row: u16,
    },
}

impl Model {
    /// Takes a press.
    pub fn press(&mut self, press: Press) -> Vec<Wish> {
        self.note = None;
        if press == Press::Quit {
            return vec![Wish::Quit];
        }
        if let Press::Click { column, row } = press {
            return self.click(Position::new(column, row));
        }
        match std::mem::replace(&mut self.over, Over::Nothing) {
            Over::Nothing => self.press_view(&press),
            // Any key goes back; the one that leaves does no more than that.
            Over::Help => Vec::new(),
            Over::Details(from) => self.press_details(from, &press),
            Over::Log { agent, up } => self.press_log(agent, up, &press),
            Over::Form(form) => self.press_form(*form, &press),
            Over::Question(question) => self.press_question(question, &press),
            Over::Search => self.press_search(&press),
        }
    }

    /// Chooses a view or a line; what lies over them takes no clicks.
    fn click(&mut self, at: Position) -> Vec<Wish> {
        if self.over != Over::Nothing {
            return Vec::new();
        }
        let targets = self.targets.get();
        if let Some(tab) = targets.tabs.iter().position(|tab| tab.contains(at)) {
            self.view = View::ALL[tab];
        } else if targets.lines.contains(at) {
            let line = targets.first + usize::from(at.y - targets.lines.y);
            if line == self.selected() {
                return self.open_details();
            }
            self.select(line);
        }
        Vec::new()
    }

    fn press_view(&mut self, press: &Press) -> Vec<Wish> {
        if let Some(line) = moved(self.selected(), press, usize::MAX) {
            self.select(line);
            return Vec::new();
        }
        match press {
            Press::Tab | Press::Right => self.view = self.view.beside(1),
            Press::BackTab | Press::Left => self.view = self.view.beside(View::ALL.len() - 1),
            Press::Char(digit @ '1'..='6') => {
                self.view = View::ALL[(*digit as usize) - ('1' as usize)];
            }
            Press::Enter => return self.open_details(),
            Press::Escape => return self.unfilter(),
            Press::Char('?') => self.over = Over::Help,
            Press::Char('q') => return vec![Wish::Quit],
            Press::Char('n') => self.jump(true),
            Press::Char('N') => self.jump(false),
            Press::Char('R') => return self.load_all(),
            Press::Char('m') => {
                let now = self.status.as_ref().map(|status| status.cost_mode);
                self.open(Form::cost_mode(now));
            }
            Press::Char(letter) => return self.press_letter(*letter),
            _ => {}
        }
        Vec::new()
    }

    /// The keys of one view.
    fn press_letter(&mut self, letter: char) -> Vec<Wish> {
        match (self.view, letter) {
            (View::Panes | View::Agents, 's') => self.open(Form::spawn()),
            (View::Panes | View::Agents, 'p') => {
                if let Some(agent) = self.named() {
                    self.open(Form::prompt(agent));
                }
            }
            (View::Panes | View::Agents, 'x') => {
                if let Some(agent) = self.named() {
                    self.over = Over::Question(Question::Stop(agent));
                }
            }
            (View::Panes | View::Agents, 'l') => return self.open_log(),
            (View::Panes, 'd') => self.open_dismiss(),
            (View::Panes, 'r') => self.open_answer(),
            (View::Panes, 'a') => {
                self.only_attention = !self.only_attention;
                self.settle();
            }
            (View::Jobs, 'x') => {
                let job = self.job().map(|job| job.name.clone());
                if let Some(name) = job {
                    self.over = Over::Question(Question::RemoveJob(name));
                }
            }
            (View::Tenants, 'p') => return self.provision().into_iter().collect(),
            (View::Tenants, 'x') => {
                let tenant = self.tenant().map(|tenant| tenant.tenant_id.clone());
                if let Some(id) = tenant {
                    self.over = Over::Question(Question::RemoveTenant(id));
                }
            }
            (View::Tasks, 'c') => self.open(Form::create()),
            (View::Tasks, 't') => self.open_claim(),
            (View::Tasks, 'x') => self.open_cancel(),
            (View::Tasks, 'r') => self.open_retry(),
            (View::Tasks, '/') => self.over = Over::Search,
            (View::Tasks, 'f') => return self.turn_status(1),
            (View::Tasks, 'F') => return self.turn_status(TaskStatus::ALL.len()),
            (View::Tasks, '+') => {
                let limit = self.which.limit.unwrap_or(TASKS) * 2;
                return self.list(ListTasks {
                    limit: Some(limit.min(ListTasks::MAX_LIMIT)),
                    ..self.which.clone()
                });
            }
            _ => {}
        }
        Vec::new()
    }

    fn open(&mut self, form: Form) {
        self.over = Over::Form(Box::new(form));
    }

    /// The name of the agent that is selected.
    fn named(&mut self) -> Option<Name> {
        let name = match self.view {
            View::Agents => self.agent().map(|agent| Ok(agent.name.clone())),
            _ => self.pane().map(|pane| pane.agent.parse()),
        };
        match name {
            Some(Ok(name)) => Some(name),
            Some(Err(why)) => {
                self.note = Some(why);
                None
            }
            None => {
                self.note = Some("No agent is selected.".to_owned());
                None
            }
        }
    }

    fn open_answer(&mut self) {
        let Some(agent) = self.named() else { return };
        let asked = self.pane().and_then(|pane| {
            let question = pane.question.clone()?;
            let asked = pane.told_reason().unwrap_or_default();
            Some((question, asked, pane.choices.clone()))
        });
        match asked {
            Some((question, asked, choices)) => {
                self.open(Form::answer(agent, question, asked, &choices));
            }
            None => self.note = Some(format!("{agent} asks nothing; p asks it something.")),
        }
    }

    fn open_claim(&mut self) {
        let Some(task) = self.task() else { return };
        if task.status != TaskStatus::Queued {
            self.note = Some(format!(
                "Only a queued task can be given to an agent; this one is {}.",
                task.status
            ));
            return;
        }
        if task.not_before.is_some_and(|at| at > self.now) {
            self.note = Some("It waits for its next attempt; r has it tried now.".to_owned());
            return;
        }
        let agents = self.agents().iter();
        let able = agents.filter(|agent| task.capabilities.is_subset(&agent.capabilities));
        let able: Vec<_> = able.map(|agent| (agent.name.clone(), agent.id)).collect();
        if able.is_empty() {
            self.note = Some("No agent has all capabilities that this task needs.".to_owned());
        } else {
            self.open(Form::claim(task.id, &task.title, able));
        }
    }

    fn open_cancel(&mut self) {
        let Some(task) = self.task() else { return };
        if task.status.is_final() {
            self.note = Some(format!("This task has ended: it is {}.", task.status));
        } else {
            self.open(Form::cancel(task.id, &task.title));
        }
    }

    fn open_retry(&mut self) {
        if let Some(task) = self.retriable() {
            self.over = Over::Question(Question::Retry {
                task: task.id,
                title: task.title.clone(),
                waits: task.status == TaskStatus::Queued,
            });
        } else if let Some(task) = self.task() {
            self.note = Some(format!(
                "Only what has failed, was called off or waits for its next attempt can be tried \
                 again; this task is {}.",
                task.status
            ));
        }
    }

    fn turn_status(&mut self, by: usize) -> Vec<Wish> {
        let all: Vec<_> = [None]
            .into_iter()
            .chain(TaskStatus::ALL.map(Some))
            .collect();
        let now = all.iter().position(|status| *status == self.which.status);
        self.list(ListTasks {
            status: all[(now.unwrap_or(0) + by) % all.len()],
            ..self.which.clone()
        })
    }

    /// From now on these tasks are shown.
    fn list(&mut self, which: ListTasks) -> Vec<Wish> {
        if which.status != self.which.status {
            // Those of before must not be taken for what is asked for now.
            self.tasks = None;
            self.settle();
        }
        self.which = which;
        vec![load(Part::Tasks(self.which.clone()))]
    }

    fn unfilter(&mut self) -> Vec<Wish> {
        match self.view {
            View::Panes => self.only_attention = false,
            View::Tasks => {
                self.search.clear();
                if self.which.status.is_some() {
                    return self.list(ListTasks {
                        status: None,
                        ..self.which.clone()
                    });
                }
            }
            View::Agents | View::Jobs | View::Cost | View::Tenants => {}
        }
        self.settle();
        Vec::new()
    }

    fn open_details(&mut self) -> Vec<Wish> {
        let is_there = match self.view {
            View::Panes => self.pane().is_some(),
            View::Tasks => self.task().is_some(),
            View::Agents => self.agent().is_some(),
            View::Jobs => self.job().is_some(),
            View::Tenants => self.tenant().is_some(),
            View::Cost => false,
        };
        if is_there {
            self.over = Over::Details(0);
            self.furthest.set(usize::MAX);
        }
        self.load_details().into_iter().collect()
    }

    /// Goes to the next pane that somebody should look at, or the one before, wherever one is now.
    fn jump(&mut self, forward: bool) {
        let panes = self.panes();
        let count = panes.len();
        // From another view, the selected pane itself counts too.
        let first = usize::from(self.view == View::Panes);
        let found = (first..count + first)
            .map(|by| if forward { by } else { count * 2 - by })
            .map(|by| (self.pane_at.at + by) % count.max(1))
            .find(|at| panes[*at].needs_attention());
        match found {
            Some(at) => {
                self.view = View::Panes;
                self.pane_at.go(at, &self.pane_keys());
            }
            None => self.note = Some("No pane needs attention.".to_owned()),
        }
    }

    fn press_details(&mut self, from: usize, press: &Press) -> Vec<Wish> {
        let last = self.furthest.get();
        if let Some(to) = moved(from.min(last), press, last) {
            self.over = Over::Details(to);
            return Vec::new();
        }
        match press {
            Press::Enter | Press::Escape | Press::Char('q') => Vec::new(),
            press => self.press_view(press),
        }
    }

    fn open_dismiss(&mut self) {
        if self.pane().is_some_and(|pane| pane.pid.is_some()) {
            self.note = Some("Its agent runs; x stops it.".to_owned());
        } else if let Some(agent) = self.named() {
            self.over = Over::Question(Question::Dismiss(agent));
        }
    }

    fn open_log(&mut self) -> Vec<Wish> {
        if let Some(agent) = self.named() {
            self.log = None;
            self.furthest.set(usize::MAX);
            self.over = Over::Log { agent, up: 0 };
        }
        self.load_log().into_iter().collect()
    }

    fn press_log(&mut self, agent: Name, up: usize, press: &Press) -> Vec<Wish> {
        let last = self.furthest.get();
        if let Some(to) = moved(last - up.min(last), press, last) {
            let up = last - to;
            self.over = Over::Log { agent, up };
            // Back at the end: what has come meanwhile.
            return self.load_log().into_iter().collect();
        }
        match press {
            Press::Enter | Press::Escape | Press::Char('q' | 'l') => Vec::new(),
            press => self.press_view(press),
        }
    }

    fn press_form(&mut self, mut form: Form, press: &Press) -> Vec<Wish> {
        let mut wishes = Vec::new();
        match press {
            Press::Escape => {
                if form.is_sent() {
                    self.note = Some("Already sent; its answer will be shown here.".to_owned());
                }
                return wishes;
            }
            // Whatever is changed now would not be what was sent.
            _ if form.is_sent() => {}
            Press::Enter => match form.command() {
                Ok((command, said)) => {
                    wishes.push(self.tell(command, said));
                    form.sent = Some(self.ticket);
                    form.fault = None;
                }
                Err(why) => form.blame(why),
            },
            press => form.press(press),
        }
        self.over = Over::Form(Box::new(form));
        wishes
    }

    fn press_question(&mut self, question: Question, press: &Press) -> Vec<Wish> {
        match press {
            Press::Char('y' | 'Y') => {
                let (command, said) = question.command();
                vec![self.tell(command, said)]
            }
            // Not Enter: it is pressed out of habit.
            Press::Char('n' | 'N') | Press::Escape => Vec::new(),
            _ => {
                self.over = Over::Question(question);
                Vec::new()
            }
        }
    }

    fn press_search(&mut self, press: &Press) -> Vec<Wish> {
        match press {
            Press::Enter => return Vec::new(),
            Press::Escape => {
                self.search.clear();
                self.settle();
                return Vec::new();
            }
            Press::Up => self.select(self.selected().saturating_sub(1)),
            Press::Down => self.select(self.selected().saturating_add(1)),
            press => self.search.press(press),
        }
        self.settle();
        self.over = Over::Search;
        Vec::new()
    }

    /// Selects this line of the view, or the last one.
    fn select(&mut self, line: usize) {
        match self.view {
            View::Panes => self.pane_at.go(line, &self.pane_keys()),
            View::Tasks => self.task_at.go(line, &self.task_keys()),
            View::Agents => self.agent_at.go(line, &self.agent_keys()),
            View::Jobs => self.job_at.go(line, &self.job_keys()),
            View::Cost => self.cost_at.go(line, &self.cost_keys()),
            View::Tenants => self.tenant_at.go(line, &self.tenant_keys()),
        }
    }
}

/// The line to which this press goes from there, of those up to `last`; `None` when to none.
fn moved(from: usize, press: &Press, last: usize) -> Option<usize> {
    let to = match press {
        Press::Up | Press::Char('k') => from.saturating_sub(1),
        Press::Down | Press::Char('j') => from.saturating_add(1),
        Press::PageUp => from.saturating_sub(PAGE),
        Press::PageDown => from.saturating_add(PAGE),
        Press::Home | Press::Char('g') => 0,
        Press::End | Press::Char('G') => last,
        _ => return None,
    };
    Some(to.min(last))
}
