//! Small forms: what is typed, and the command that it makes. The protocol's own types say what may
//! be written.

use std::collections::BTreeSet;

use colibri_protocol::{
    Answer, AnswerAgent, CancelTask, Capability, ClaimTask, Command, CostMode, CreateTask, Name,
    Runtime, SendPrompt, SetCostMode, SpawnAgent,
};
use uuid::Uuid;

use super::Press;

/// Most bytes of a field: the longest text of the protocol, and a bit, so that a text that is too
/// long is told to be so and not cut in silence.
const MOST_BYTES: usize = 65536 + 1024;

/// Stands for the answer that is typed.
const TYPED: &str = "the text below";

/// What a form is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Start an agent.
    Spawn,
    /// Ask an agent something.
    Prompt {
        /// Its name.
        agent: Name,
    },
    /// Answer what an agent asks.
    Answer {
        /// Its name.
        agent: Name,
        /// Names the question: another one must not get its answer.
        question: String,
        /// What can be chosen, by the words that stand for it; `None`: the text.
        answers: Vec<(String, Option<Answer>)>,
    },
    /// Put a task on the board.
    Create,
    /// Take a task for an agent.
    Claim {
        /// Which.
        task: Uuid,
        /// Who can be chosen.
        agents: Vec<(Name, Uuid)>,
    },
    /// Call a task off.
    Cancel {
        /// Which.
        task: Uuid,
    },
    /// Another cost mode.
    CostMode,
}

/// What a field takes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Takes {
    /// One line.
    Line,
    /// A text that may have several.
    Text,
    /// One of these.
    Choice(Vec<String>),
}

/// One line of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The field's name in the protocol: its messages say it.
    name: &'static str,
    /// What it is called here.
    pub label: &'static str,
    /// What belongs there.
    pub hint: &'static str,
    takes: Takes,
    text: String,
    /// In characters.
    cursor: usize,
}

impl Field {
    fn line(name: &'static str, label: &'static str, hint: &'static str) -> Self {
        Self {
            name,
            label,
            hint,
            takes: Takes::Line,
            text: String::new(),
            cursor: 0,
        }
    }

    fn text_of_lines(name: &'static str, label: &'static str, hint: &'static str) -> Self {
        Self {
            takes: Takes::Text,
            ..Self::line(name, label, hint)
        }
    }

    fn choice(
        name: &'static str,
        label: &'static str,
        hint: &'static str,
        choices: Vec<String>,
    ) -> Self {
        Self {
            text: choices.first().cloned().unwrap_or_default(),
            takes: Takes::Choice(choices),
            ..Self::line(name, label, hint)
        }
    }

    /// A field outside of a form, for a line that is searched for.
    pub(super) fn alone() -> Self {
        Self::line("", "", "")
    }

    /// What stands in it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the cursor is, in characters.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Whether it is one of a few words.
    pub fn is_choice(&self) -> bool {
        matches!(self.takes, Takes::Choice(_))
    }

    fn byte(&self, at: usize) -> usize {
        let mut bytes = self.text.char_indices().map(|(byte, _)| byte);
        bytes.nth(at).unwrap_or(self.text.len())
    }

    /// Puts a text in at the cursor, as far as it fits. At once: letter by letter a long one would
    /// be gone through as often as it has letters.
    fn insert(&mut self, text: &str) {
        let mut room = MOST_BYTES.saturating_sub(self.text.len());
        let fitting: String = text
            .chars()
            .filter_map(|letter| match (letter, &self.takes) {
                ('\r', _) => None,
                ('\n', Takes::Text) => Some('\n'),
                ('\n' | '\t', _) => Some(' '),
                (letter, _) => Some(letter).filter(|letter| !letter.is_control()),
            })
            .take_while(|letter| {
                let fits = letter.len_utf8() <= room;
                room = room.saturating_sub(letter.len_utf8());
                fits
            })
            .collect();
        let byte = self.byte(self.cursor);
        self.text.insert_str(byte, &fitting);
        self.cursor += fitting.chars().count();
    }

    fn remove(&mut self, at: usize) {
        let byte = self.byte(at);
        if byte < self.text.len() {
            self.text.remove(byte);
            self.cursor = at;
        }
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.cursor = 0;
    }

    pub(super) fn press(&mut self, press: &Press) {
        if let Takes::Choice(choices) = &self.takes {
            let by = match press {
                Press::Left => choices.len().saturating_sub(1),
                Press::Right | Press::Char(' ') => 1,
                _ => return,
            };
            let now = choices.iter().position(|choice| *choice == self.text);
            if let Some(next) = choices.get((now.unwrap_or(0) + by) % choices.len().max(1)) {
                self.text = next.clone();
            }
            return;
        }
        match press {
            Press::Char(letter) => self.insert(letter.encode_utf8(&mut [0; 4])),
            Press::Paste(text) => self.insert(text),
            Press::Left => self.cursor = self.cursor.saturating_sub(1),
            Press::Right => self.cursor = (self.cursor + 1).min(self.text.chars().count()),
            Press::Home => self.cursor = 0,
            Press::End => self.cursor = self.text.chars().count(),
            Press::Backspace if self.cursor > 0 => self.remove(self.cursor - 1),
            Press::Delete => self.remove(self.cursor),
            Press::Clear => self.clear(),
            _ => {}
        }
    }
}

/// A form that is being filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    purpose: Purpose,
    /// Says what Enter does.
    pub title: String,
    /// What it answers, in the words of whoever asks; mostly empty.
    pub about: String,
    fields: Vec<Field>,
    focus: usize,
    /// Why it cannot be sent so, or why the daemon refused it.
    pub fault: Option<String>,
    /// It was sent with this ticket, and the answer is not there yet.
    pub(super) sent: Option<u64>,
}

impl Form {
    fn new(purpose: Purpose, title: impl Into<String>, fields: Vec<Field>) -> Self {
        Self {
            purpose,
            title: title.into(),
            about: String::new(),
            fields,
            focus: 0,
            fault: None,
            sent: None,
        }
    }

    pub(super) fn spawn() -> Self {
        let runtimes = Runtime::ALL.map(|runtime| runtime.to_string()).to_vec();
        let yes_no = vec!["no".to_owned(), "yes".to_owned()];
        let fields = vec![
            Field::line("name", "Name", "1 to 64 letters, digits, `-`, `_` or `.`"),
            Field::choice("runtime", "Runtime", "the dialect that it speaks", runtimes),
            Field::line(
                "program",
                "Program",
                "its path, from the root: /usr/local/bin/pi",
            ),
            Field::line(
                "args",
                "Arguments",
                "parted by blanks; those of its dialect when empty",
            ),
            Field::line(
                "cwd",
                "Folder",
                "where it starts; one of its own when empty",
            ),
            Field::text_of_lines("prompt", "Prompt", "what it is asked first; may be empty"),
            Field::line(
                "capabilities",
                "Can do",
                "such as freebsd gpu, parted by blanks or commas",
            ),
            Field::choice(
                "restart",
                "Restart",
                "whether it is started again when it ends by itself",
                yes_no,
            ),
        ];
        Self::new(Purpose::Spawn, "Start an agent", fields)
    }

    pub(super) fn prompt(agent: Name) -> Self {
        let title = format!("Ask {agent}");
        let field = Field::text_of_lines("message", "Message", "what it is asked, at most 64 KiB");
        Self::new(Purpose::Prompt { agent }, title, vec![field])
    }

    /// `asked` is what is shown above it, and these are the choices that it leaves.
    pub(super) fn answer(agent: Name, question: String, asked: String, choices: &[String]) -> Self {
        let title = format!("Answer {agent}");
        let answers = answers_to(choices);
        let words = answers.iter().map(|(word, _)| word.clone()).collect();
        let fields = vec![
            Field::choice(
                "answer",
                "Answer",
                "the right arrow key changes this, Tab goes to the text",
                words,
            ),
            Field::text_of_lines(
                "text",
                "Text",
                "the answer in words, at most 64 KiB; empty when something else is chosen",
            ),
        ];
        let purpose = Purpose::Answer {
            agent,
            question,
            answers,
        };
        Self {
            about: asked,
            ..Self::new(purpose, title, fields)
        }
    }

    pub(super) fn create() -> Self {
        let fields = vec![
            Field::line("title", "Title", "one line, at most 200 characters"),
            Field::text_of_lines("description", "To do", "what is to be done; may be empty"),
            Field::line(
                "capabilities",
                "Needs",
                "what an agent must be able to do, parted by blanks or commas",
            ),
        ];
        Self::new(Purpose::Create, "Put a task on the board", fields)
    }

    pub(super) fn claim(task: Uuid, title: &str, agents: Vec<(Name, Uuid)>) -> Self {
        let names = agents.iter().map(|(name, _)| name.to_string()).collect();
        let field = Field::choice(
            "agent_id",
            "Agent",
            "it must have all capabilities that the task needs",
            names,
        );
        let title = format!("Give to an agent: {title}");
        Self::new(Purpose::Claim { task, agents }, title, vec![field])
    }

    pub(super) fn cancel(task: Uuid, title: &str) -> Self {
        let no_yes = vec!["no".to_owned(), "yes".to_owned()];
        let fields = vec![
            Field::choice(
                "sure",
                "Call it off",
                "yes ends it, whoever works on it; the right arrow key changes this",
                no_yes,
            ),
            Field::text_of_lines("reason", "Reason", "why; may be empty"),
        ];
        let title = format!("Call this task off? {title}");
        Self::new(Purpose::Cancel { task }, title, fields)
    }

    pub(super) fn cost_mode(now: Option<CostMode>) -> Self {
        let modes = CostMode::ALL.map(|mode| mode.as_str().to_owned()).to_vec();
        let mut mode = Field::choice("mode", "Cost mode", "how freely agents may spend", modes);
        if let Some(now) = now {
            mode.text = now.as_str().to_owned();
        }
        let yes_no = vec!["no".to_owned(), "yes".to_owned()];
        let keep = Field::choice(
            "persist",
            "Keep",
            "whether it also holds after a restart",
            yes_no,
        );
        Self::new(Purpose::CostMode, "Set the cost mode", vec![mode, keep])
    }

    /// Its lines, from top to bottom.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The line of the cursor.
    pub fn focus(&self) -> usize {
        self.focus
    }

    /// What Enter does.
    pub fn deed(&self) -> &'static str {
        match self.purpose {
            Purpose::Spawn => "start it",
            Purpose::Prompt { .. } => "ask",
            Purpose::Answer { .. } => "answer",
            Purpose::Create => "put it on the board",
            Purpose::Claim { .. } => "give it",
            Purpose::Cancel { .. } => "call it off",
            Purpose::CostMode => "set it",
        }
    }

    /// Whether it was sent and waits for the daemon's answer.
    pub fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    pub(super) fn press(&mut self, press: &Press) {
        match press {
            Press::Tab | Press::Down => self.walk(1),
            Press::BackTab | Press::Up => self.walk(self.fields.len().saturating_sub(1)),
            press => {
                if let Some(field) = self.fields.get_mut(self.focus) {
                    field.press(press);
                    self.fault = None;
                }
            }
        }
    }

    fn walk(&mut self, by: usize) {
        self.focus = (self.focus + by) % self.fields.len().max(1);
    }

    /// Says what is wrong, and goes to the field that it is about.
    pub(super) fn blame(&mut self, fault: String) {
        let named = |field: &Field| fault.contains(&format!("`{}`", field.name));
        self.focus = self.fields.iter().position(named).unwrap_or(self.focus);
        self.fault = Some(fault);
        self.sent = None;
    }

    fn text(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|field| field.name == name);
        field.map_or("", |field| field.text.as_str())
    }

    fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name))
            .filter(|text| !text.trim().is_empty())
            .map(str::to_owned)
    }

    fn capabilities(&self) -> Result<BTreeSet<Capability>, String> {
        let words = self.text("capabilities").split([' ', ',']);
        words
            .filter(|word| !word.is_empty())
            .map(|word| word.parse().map_err(|why| format!("`capabilities`: {why}")))
            .collect()
    }

    /// The command that it makes, and what to say when it is done.
    ///
    /// # Errors
    /// What is wrong, in the words of the protocol.
    pub fn command(&self) -> Result<(Command, String), String> {
        match &self.purpose {
            Purpose::Spawn => {
                let name: Name = self
                    .text("name")
                    .trim()
                    .parse()
                    .map_err(|why| format!("`name`: {why}"))?;
                let program = self.text("program").trim();
                if program.is_empty() {
                    return Err("`program` must not be empty".to_owned());
                }
                let words = |text: String| text.split_whitespace().map(str::to_owned).collect();
                let spawn = SpawnAgent {
                    runtime: self.text("runtime").parse()?,
                    program: program.into(),
                    args: self.optional("args").map(words),
                    cwd: self.optional("cwd").map(|path| path.trim().into()),
                    prompt: self.optional("prompt"),
                    capabilities: self.capabilities()?,
                    restart: self.text("restart") == "yes",
                    tenant: None,
                    name,
                };
                spawn.check().map_err(|error| error.message)?;
                let said = format!("{} is started.", spawn.name);
                Ok((Command::SpawnAgent(spawn), said))
            }
            Purpose::Prompt { agent } => {
                let prompt = SendPrompt {
                    agent: agent.clone(),
                    message: self.text("message").to_owned(),
                };
                prompt.check().map_err(|error| error.message)?;
                Ok((Command::SendPrompt(prompt), format!("{agent} is asked.")))
            }
            Purpose::Answer {
                agent,
                question,
                answers,
            } => {
                let chosen = self.text("answer");
                let chosen = answers.iter().find(|(word, _)| word == chosen);
                let chosen = chosen.and_then(|(_, answer)| answer.clone());
                let answer = match (chosen, self.text("text")) {
                    // Enter is pressed out of habit, and then the agent works on.
                    (None, "") => {
                        return Err("`text` is empty: type it, or choose another answer".to_owned());
                    }
                    (None, text) => Answer::Text(text.to_owned()),
                    (Some(answer), "") => answer,
                    (Some(_), _) => {
                        return Err(format!(
                            "`text` would not be sent: empty it, or choose {TYPED}"
                        ));
                    }
                };
                let said = match answer {
                    Answer::Cancelled => format!("{agent} is told that no answer comes."),
                    Answer::Text(_) | Answer::Confirmed(_) => format!("{agent} is answered."),
                };
                let answer = AnswerAgent {
                    agent: agent.clone(),
                    question: Some(question.clone()),
                    answer,
                };
                answer.check().map_err(|error| error.message)?;
                Ok((Command::AnswerAgent(answer), said))
            }
            Purpose::Create => {
                let task = CreateTask {
                    title: self.text("title").to_owned(),
                    description: self.optional("description"),
                    capabilities: self.capabilities()?,
                    max_attempts: None,
                };
                task.check().map_err(|error| error.message)?;
                let said = "The task is on the board.".to_owned();
                Ok((Command::CreateTask(task), said))
            }
            Purpose::Claim { task, agents } => {
                let chosen = self.text("agent_id");
                let agent = agents.iter().find(|(name, _)| name.as_str() == chosen);
                let (name, agent_id) = agent.ok_or("there is no agent to give it to")?;
                let claim = ClaimTask {
                    task_id: *task,
                    agent_id: *agent_id,
                };
                Ok((Command::ClaimTask(claim), format!("{name} has the task.")))
            }
            // Enter is pressed out of habit, and what is called off stays so.
            Purpose::Cancel { .. } if self.text("sure") != "yes" => {
                Err("nothing is called off as long as it says no above".to_owned())
            }
            Purpose::Cancel { task } => {
                let cancel = CancelTask {
                    task_id: *task,
                    reason: self.optional("reason"),
                };
                cancel.check().map_err(|error| error.message)?;
                let said = "The task is called off.".to_owned();
                Ok((Command::CancelTask(cancel), said))
            }
            Purpose::CostMode => {
                let set = SetCostMode {
                    mode: self.text("mode").parse()?,
                    persist: self.text("persist") == "yes",
                };
                let said = format!("The cost mode is {}.", set.mode.as_str());
                Ok((Command::SetCostMode(set), said))
            }
        }
    }
}

/// What can be answered to a question with these choices, by the words that stand for it.
fn answers_to(choices: &[String]) -> Vec<(String, Option<Answer>)> {
    let mut offered = vec![(TYPED, None)];
    if choices.is_empty() {
        offered.push(("yes", Some(Answer::Confirmed(true))));
        offered.push(("no", Some(Answer::Confirmed(false))));
    }
    let chosen = |choice: &String| Some(Answer::Text(choice.clone()));
    let choices = choices.iter();
    offered.extend(choices.map(|choice| (choice.as_str(), chosen(choice))));
    offered.push(("no answer", Some(Answer::Cancelled)));
    let mut answers: Vec<(String, Option<Answer>)> = Vec::new();
    for (word, answer) in offered {
        // Of two that look the same the second could never be chosen.
        if answers.iter().all(|(known, _)| known != word) {
            answers.push((word.to_owned(), answer));
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(form: &mut Form, texts: &[&str]) {
        for text in texts {
            form.press(&Press::Paste((*text).to_owned()));
            form.press(&Press::Tab);
        }
    }

    #[test]
    fn a_spawn_is_what_was_typed() {
        let mut form = Form::spawn();
        fill(
            &mut form,
            &[
                "ada",
                "",
                "/usr/bin/pi",
                " --mode  rpc ",
                "",
                "Hello\nthere",
            ],
        );
        fill(&mut form, &["freebsd, gpu"]);
        form.press(&Press::Right);
        let Ok((Command::SpawnAgent(spawn), said)) = form.command() else {
            panic!("{:?}", form.command())
        };
        assert_eq!((spawn.name.as_str(), spawn.runtime), ("ada", Runtime::Pi));
        assert_eq!(spawn.args.unwrap(), ["--mode", "rpc"]);
        assert_eq!((spawn.cwd, spawn.restart), (None, true));
        assert_eq!(spawn.prompt.as_deref(), Some("Hello\nthere"));
        assert_eq!(spawn.capabilities.len(), 2);
        assert_eq!(said, "ada is started.");
    }

    #[test]
    fn what_the_protocol_refuses_is_told_at_its_field() {
        let mut form = Form::spawn();
        let fault = form.command().unwrap_err();
        assert!(fault.contains("is no name"), "{fault}");
        fill(&mut form, &["ada", "", "pi"]);
        let fault = form.command().unwrap_err();
        assert!(fault.contains("absolute path"), "{fault}");
        let mut form = Form::create();
        fill(&mut form, &["t", "", "GPU"]);
        let fault = form.command().unwrap_err();
        form.blame(fault);
        assert_eq!(form.focus(), 2);
        assert!(form.fault.unwrap().contains("lower-case"));
        let fault = Form::prompt("ada".parse().unwrap()).command().unwrap_err();
        assert_eq!(fault, "`message` must not be empty");
    }

    #[test]
    fn an_answer_is_what_was_chosen_or_typed() {
        let question = |asked: &str, choices: &[&str]| {
            let agent = "ada".parse().unwrap();
            let choices: Vec<String> = choices.iter().map(|&choice| choice.to_owned()).collect();
            Form::answer(agent, "q-1".to_owned(), asked.to_owned(), &choices)
        };
        let answer = |form: &Form| -> Result<(Answer, String), String> {
            let (command, said) = form.command()?;
            match command {
                Command::AnswerAgent(given) => Ok((given.answer, said)),
                other => panic!("{other:?}"),
            }
        };
        let mut form = question("May I?", &[]);
        let fault = answer(&form).unwrap_err();
        form.blame(fault);
        assert_eq!(
            (form.fields()[form.focus()].name, form.about.as_str()),
            ("text", "May I?")
        );
        form.press(&Press::Paste("Only\nonce".to_owned()));
        let (typed, said) = answer(&form).unwrap();
        assert_eq!(typed, Answer::Text("Only\nonce".to_owned()));
        assert_eq!(said, "ada is answered.");
        form.press(&Press::Tab);
        form.press(&Press::Right);
        let fault = answer(&form).unwrap_err();
        assert!(fault.contains("would not be sent"), "{fault}");
        form.blame(fault);
        form.press(&Press::Clear);
        assert_eq!(answer(&form).unwrap().0, Answer::Confirmed(true));
        form.press(&Press::Tab);
        form.press(&Press::Right);
        assert_eq!(answer(&form).unwrap().0, Answer::Confirmed(false));
        form.press(&Press::Right);
        let (none, said) = answer(&form).unwrap();
        assert_eq!(none, Answer::Cancelled);
        assert_eq!(said, "ada is told that no answer comes.");
        // Where it is a choice, `yes` is a word like others.
        let mut form = question("Go on?", &["yes", "never", "yes"]);
        form.press(&Press::Right);
        assert_eq!(answer(&form).unwrap().0, Answer::Text("yes".to_owned()));
        form.press(&Press::Right);
        form.press(&Press::Right);
        assert_eq!(answer(&form).unwrap().0, Answer::Cancelled);
    }

    #[test]
    fn a_line_stays_one_and_the_cursor_goes_by_characters() {
        let mut form = Form::create();
        form.press(&Press::Paste("žaba\r\nb\u{1b}".to_owned()));
        form.press(&Press::Home);
        form.press(&Press::Delete);
        form.press(&Press::Char('Ž'));
        form.press(&Press::Right);
        form.press(&Press::Backspace);
        assert_eq!(form.fields()[0].text(), "Žba b");
        form.press(&Press::Clear);
        form.press(&Press::Paste("x".repeat(MOST_BYTES + 9)));
        let fault = form.command().unwrap_err();
        assert!(fault.contains("at most 200 fit"), "{fault}");
    }

    #[test]
    fn a_choice_goes_round() {
        let mut form = Form::cost_mode(Some(CostMode::Max));
        form.press(&Press::Right);
        assert_eq!(form.fields()[0].text(), "fast");
        form.press(&Press::Left);
        form.press(&Press::Left);
        assert_eq!(form.command().unwrap().1, "The cost mode is smart.");
        let mut nobody = Form::claim(Uuid::nil(), "t", Vec::new());
        nobody.press(&Press::Right);
        assert!(nobody.command().unwrap_err().contains("no agent"));
    }
}
