//! What a client may ask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use strum::VariantNames as _;

use crate::{
    AgentLog, AnswerAgent, CancelTask, ClaimTask, CompactSession, CreateJob, CreateTask,
    DismissPane, ErrorKind, GetSession, GetTask, Heartbeat, IntakeTask, ListTasks, OneTenant,
    Paging, RegisterAgent, RegisterSkill, RegisterTenant, RemoveJob, RemoveTenant, ReplyError,
    RequestTenant, RetryTask, SendPrompt, SetCostMode, SpawnAgent, StopAgent, TransitionTask,
    nearest,
};

/// Longest text that may serve as a request's `id`, in characters.
const MAX_ID_CHARS: usize = 128;

/// Most commas between the values of a request. Each value takes much more memory than its text: a
/// megabyte of `0,0,0` would be sixteen.
const MAX_COMMAS: usize = 10_000;

/// A number or a short text (at most 128 characters) that comes back with the reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RequestId {
    /// A whole number.
    Number(i64),
    /// A text of at most 128 characters.
    Text(#[schemars(length(max = 128))] String),
}

/// The fields of a command that takes none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoFields {}

/// A command with its fields; `cmd` on the wire is the variant in kebab-case.
///
/// Everything else that knows all commands is made from this list or tested against it: their
/// names, the reference page, the verbs of the command line.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[serde(tag = "cmd", rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Command {
    /// What the daemon is, where its things lie, and how much it holds.
    Status(NoFields),
    /// Looks at every part of the service and says which are well.
    ServiceCheck(NoFields),
    /// Makes of this connection a stream of changes, one to a line, for as long as it lives; what
    /// the client sends afterwards is not read. Each line is a reply to this request. A client that
    /// reads too slowly is told `lagged` and asks for the lists again.
    Subscribe(NoFields),
    /// Puts a task on the board; the reply comes after the task is on disk.
    CreateTask(CreateTask),
    /// Puts work that comes from outside on the board; as durable as `create-task`.
    IntakeTask(IntakeTask),
    /// One page of tasks, newest first.
    ListTasks(ListTasks),
    /// One task with all that is known about it, and what happened to it.
    GetTask(GetTask),
    /// Takes a queued task for an agent that has all its capabilities. Of several that try, one gets
    /// it, and the others get `conflict`.
    ClaimTask(ClaimTask),
    /// Moves a task on, from `claimed` to `started` to an end, and adds what it used up. Asked again,
    /// because the reply got lost say, it is answered the same and changes nothing.
    TransitionTask(TransitionTask),
    /// Calls a task off that has not ended. One that is already called off stays so.
    CancelTask(CancelTask),
    /// Puts a task that has failed or was called off back into the queue, with all its attempts; one
    /// that is queued and pauses after an attempt that failed is tried at once.
    RetryTask(RetryTask),
    /// Makes an agent known, or updates it.
    RegisterAgent(RegisterAgent),
    /// One page of agents, by name.
    ListAgents(Paging),
    /// An agent's sign of life; extends the leases of its tasks.
    Heartbeat(Heartbeat),
    /// All panes: what each agent that this daemon runs is doing.
    Snapshot(NoFields),
    /// Starts an agent as a process of this host, and registers it.
    SpawnAgent(SpawnAgent),
    /// Stops an agent with everything that it has started; its pane stays.
    StopAgent(StopAgent),
    /// Takes away the pane of an agent that has ended, so that it needs nobody's attention any more.
    /// The agent's session and log stay.
    DismissPane(DismissPane),
    /// Asks a running agent something, after what it works on and before its next task.
    SendPrompt(SendPrompt),
    /// Answers what a blocked agent asks, so that it works on.
    AnswerAgent(AnswerAgent),
    /// The end of what an agent of this host, running or not, wrote to its standard error: why it
    /// fails, for example. Asked again with `after`, only what was written since.
    AgentLog(AgentLog),
    /// A session of an agent of this host, running or not: how long it is, and what became of it.
    GetSession(GetSession),
    /// Summarises all but the newest turns of a session, needed or not.
    CompactSession(CompactSession),
    /// Makes a skill known, or updates it.
    RegisterSkill(RegisterSkill),
    /// One page of skills, by name: those that were registered, and those that lie in the daemon's
    /// folder of skills at this moment. What is wrong in that folder is told, too.
    ListSkills(Paging),
    /// Makes a job, which makes a task each time that it is due.
    CreateJob(CreateJob),
    /// One page of jobs, by name.
    ListJobs(Paging),
    /// Removes a job; the tasks that it has made stay.
    RemoveJob(RemoveJob),
    /// Makes a tenant known: a jail of its own with its own secrets. Asked again with the same fields, it
    /// is answered the same; with others it is a `conflict`.
    RegisterTenant(RegisterTenant),
    /// One page of tenants, by id.
    ListTenants(Paging),
    /// Makes a tenant's jail and fetches its secrets; agents can be started in it afterwards. Also tries
    /// one again that has failed, starts one that is stopped, and mends the jail of any other.
    ProvisionTenant(OneTenant),
    /// Fetches a tenant's secrets anew. When they are others than before, its agents are started anew.
    RotateTenant(OneTenant),
    /// The names of a tenant's secrets, never their values.
    ListSecrets(OneTenant),
    /// Removes a tenant: its agents, its jail, and with `destroy` all that it has written.
    RemoveTenant(RemoveTenant),
    /// An agent in a jail asks for another tenant, with a jail like its own and an agent like itself. Off
    /// unless the host's policy allows it, and within its limits. It is provisioned after the reply.
    RequestTenant(RequestTenant),
    /// Changes how freely agents may spend; the sessions of those that run have this mode at once.
    SetCostMode(SetCostMode),
    /// Copies the database while everything goes on. Behind the line of a good reply come
    /// `size_bytes` bytes, which are the copy, an SQLite database; then the connection goes on as
    /// usual. One backup at a time: another gets `busy`.
    Backup(NoFields),
}

impl Command {
    /// Every command's name on the wire, in the order of the reference.
    pub const NAMES: &'static [&'static str] = Self::VARIANTS;

    /// The command's name on the wire.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

/// One line from a client: a command and perhaps an `id` to echo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Comes back in the reply, so that replies can be told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// What is asked.
    #[serde(flatten)]
    pub command: Command,
}

/// Why a line is no request, with its `id` where that much could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line's `id`, to be echoed.
    pub id: Option<RequestId>,
    /// What to answer.
    pub error: ReplyError,
}

impl From<Command> for Request {
    fn from(command: Command) -> Self {
        Self { id: None, command }
    }
}

impl Request {
    /// Reads one line.
    ///
    /// # Errors
    /// [`Refused`] with `bad-request` or `unknown-command`: a text for people
    /// which names the field or lists the known commands. A field nobody knows
    /// is refused too, for a setting that is silently ignored hurts later.
    pub fn parse(line: &[u8]) -> Result<Self, Refused> {
        if commas(line) > MAX_COMMAS {
            let text = format!("a request has at most {MAX_COMMAS} commas outside its texts");
            return Err(refuse(None, text));
        }
        let mut fields: Map<String, Value> = match serde_json::from_slice(line) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => {
                return Err(refuse(
                    None,
                    "a request is a JSON object such as {\"cmd\":\"status\"}",
                ));
            }
            Err(error) => return Err(refuse(None, format!("the line is not JSON: {error}"))),
        };
        let id = match fields.remove("id").map(request_id) {
            None => None,
            Some(Some(id)) => Some(id),
            Some(None) => {
                return Err(refuse(
                    None,
                    format!(
                        "`id` must be a whole number or a text of at most {MAX_ID_CHARS} characters"
                    ),
                ));
            }
        };
        let name = match fields.get("cmd") {
            // What the command was called before.
            Some(Value::String(name)) if name == "kill-agent" => {
                let name = "stop-agent".to_owned();
                fields.insert("cmd".to_owned(), name.clone().into());
                name
            }
            Some(Value::String(name)) => name.clone(),
            Some(_) => return Err(refuse(id, "`cmd` must be a text such as \"status\"")),
            None => {
                return Err(refuse(
                    id,
                    format!(
                        "`cmd` is missing; known commands: {}",
                        Command::NAMES.join(", ")
                    ),
                ));
            }
        };
        if !Command::NAMES.contains(&name.as_str()) {
            return Err(Refused {
                id,
                error: unknown_command(&name),
            });
        }
        match serde_json::from_value(Value::Object(fields)) {
            Ok(command) => Ok(Self { id, command }),
            Err(error) => Err(refuse(id, format!("`{name}`: {error}"))),
        }
    }
}

/// Commas outside texts, so that nothing has to be read for it.
fn commas(line: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (0, false, false);
    for &byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b',' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

fn request_id(value: Value) -> Option<RequestId> {
    match value {
        Value::Number(number) => number.as_i64().map(RequestId::Number),
        Value::String(text) if text.chars().count() <= MAX_ID_CHARS => Some(RequestId::Text(text)),
        _ => None,
    }
}

fn refuse(id: Option<RequestId>, message: impl Into<String>) -> Refused {
    Refused {
        id,
        error: ReplyError::new(ErrorKind::BadRequest, message),
    }
}

fn unknown_command(name: &str) -> ReplyError {
    // A name of a megabyte would come back in the message.
    let shown: String = name.chars().take(40).collect();
    let meant = nearest(&shown, Command::NAMES.iter().copied());
    let hint = meant.map_or(String::new(), |known| format!(" Did you mean `{known}`?"));
    ReplyError::new(
        ErrorKind::UnknownCommand,
        format!(
            "unknown command `{shown}`.{hint} Known commands: {}",
            Command::NAMES.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskStatus;
    use proptest::prelude::*;

    fn refused(line: &str) -> Refused {
        Request::parse(line.as_bytes()).expect_err("must be refused")
    }

    #[test]
    fn names_are_those_that_are_read() {
        for name in Command::NAMES {
            // Fields may be missing, but the name is known to both derives.
            let line = format!("{{\"cmd\":\"{name}\",\"no-such-field\":1}}");
            let error = refused(&line).error;
            assert_eq!(error.kind, ErrorKind::BadRequest, "{name}: {error}");
            assert!(error.message.contains("no-such-field") || error.message.contains("missing"));
        }
        let value = serde_json::to_value(Command::ListTasks(ListTasks::default())).unwrap();
        assert_eq!(
            value["cmd"],
            Command::ListTasks(ListTasks::default()).name()
        );
    }

    #[test]
    fn an_id_is_echoed_even_with_a_refusal() {
        assert_eq!(
            refused(r#"{"cmd":"fly","id":"a-1"}"#).id,
            Some(RequestId::Text("a-1".into()))
        );
        assert_eq!(
            refused(r#"{"cmd":"status","x":1,"id":-9}"#).id,
            Some(RequestId::Number(-9))
        );
        for bad in [
            r#"{"cmd":"status","id":{}}"#,
            r#"{"cmd":"status","id":1.5}"#,
        ] {
            let refused = refused(bad);
            assert_eq!(refused.id, None);
            assert!(
                refused.error.message.contains("`id` must be"),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn an_unknown_command_is_told_the_known_ones_and_the_nearest() {
        let error = refused(r#"{"cmd":"list-task"}"#).error;
        assert_eq!(error.kind, ErrorKind::UnknownCommand);
        let expected = "unknown command `list-task`. Did you mean `list-tasks`? \
             Known commands: status, service-check, subscribe, create-task, ";
        assert!(error.message.starts_with(expected), "{error}");
        let long = refused(&format!(r#"{{"cmd":"{}"}}"#, "z".repeat(100_000)));
        assert!(long.error.message.len() < 700);
        assert!(!long.error.message.contains("Did you mean"));
    }

    #[test]
    fn unknown_fields_and_wrong_types_are_named() {
        let error = refused(r#"{"cmd":"create-task","titel":"x"}"#).error;
        assert_eq!(error.kind, ErrorKind::BadRequest);
        assert!(
            error
                .message
                .contains("`create-task`: unknown field `titel`"),
            "{error:?}"
        );
        assert!(error.message.contains("`title`"), "{error:?}");
        assert!(
            refused(r#"{"cmd":"status","verbose":true}"#)
                .error
                .message
                .contains("`verbose`")
        );
        assert!(
            refused(r#"{"cmd":"create-task"}"#)
                .error
                .message
                .contains("missing field `title`")
        );
        let error = refused(r#"{"cmd":"list-tasks","status":"open"}"#).error;
        assert!(error.message.contains("`queued`"), "{error:?}");
        assert!(refused("[]").error.message.contains("JSON object"));
        assert!(refused("{").error.message.contains("not JSON"));
        assert!(refused("").error.message.contains("not JSON"));
        assert!(
            refused(r#"{"cmd":7}"#)
                .error
                .message
                .contains("`cmd` must be")
        );
        assert!(
            refused("{}")
                .error
                .message
                .contains("`cmd` is missing; known commands: status")
        );
    }

    #[test]
    fn commas_are_few_except_in_texts() {
        let many = "0,".repeat(MAX_COMMAS + 1);
        let dense = format!(r#"{{"cmd":"status","x":[{many}0]}}"#);
        assert!(refused(&dense).error.message.contains("commas"));
        let text = format!(r#"{{"cmd":"create-task","title":"a\"{many}"}}"#);
        Request::parse(text.as_bytes()).unwrap();
    }

    #[test]
    fn an_agent_may_still_be_killed_by_the_old_name() {
        let request = Request::parse(br#"{"cmd":"kill-agent","agent":"atlas"}"#).unwrap();
        assert_eq!(request.command.name(), "stop-agent");
    }

    fn any_id() -> impl Strategy<Value = Option<RequestId>> {
        proptest::option::of(prop_oneof![
            any::<i64>().prop_map(RequestId::Number),
            "[^\u{0}]{0,128}".prop_map(RequestId::Text),
        ])
    }

    fn any_capabilities() -> impl Strategy<Value = std::collections::BTreeSet<crate::Capability>> {
        proptest::collection::btree_set("[a-z0-9:+/._-]{1,64}", 0..5)
            .prop_map(|all| all.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn any_command() -> impl Strategy<Value = Command> {
        prop_oneof![
            Just(Command::Status(NoFields {})),
            Just(Command::ServiceCheck(NoFields {})),
            (
                any::<String>(),
                proptest::option::of(any::<String>()),
                any_capabilities()
            )
                .prop_map(|(title, description, capabilities)| Command::CreateTask(
                    CreateTask {
                        title,
                        description,
                        capabilities,
                        max_attempts: None
                    }
                )),
            (
                proptest::option::of(proptest::sample::select(TaskStatus::ALL.to_vec())),
                proptest::option::of(any::<u32>()),
                proptest::option::of(any::<String>()),
                proptest::option::of(any::<u128>().prop_map(uuid::Uuid::from_u128)),
            )
                .prop_map(|(status, limit, after, agent_id)| Command::ListTasks(
                    ListTasks {
                        status,
                        agent_id,
                        limit,
                        after
                    }
                )),
            (
                any::<u128>(),
                proptest::sample::select(TaskStatus::ALL.to_vec()),
                any::<u32>()
            )
                .prop_map(|(id, status, tokens)| Command::TransitionTask(
                    TransitionTask {
                        usage: Some(crate::Usage {
                            input: tokens.into(),
                            cost_usd: crate::Usd::from_billionths(tokens.into()),
                            ..crate::Usage::default()
                        }),
                        ..TransitionTask::to(uuid::Uuid::from_u128(id), status, None)
                    }
                )),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(id in any_id(), command in any_command()) {
            let request = Request { id, command };
            let line = serde_json::to_vec(&request).unwrap();
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(Request::parse(&line), Ok(request));
        }

        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Err(refused) = Request::parse(&line) {
                prop_assert!(!refused.error.message.is_empty());
            }
        }
    }
}
