//! Which commands are tools, and how each describes itself to a model.

use colibri_protocol::{
    AgentLog, AnswerAgent, CancelTask, ClaimTask, Command, CompactSession, CreateTask, DismissPane,
    GetSession, GetTask, Heartbeat, IntakeTask, ListTasks, NoFields, OneTenant, Paging,
    RegisterAgent, RegisterTenant, RetryTask, SendPrompt, SetCostMode, SpawnAgent, StopAgent,
    TransitionTask,
};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// What a tool may do to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Looks only.
    Looks,
    /// Adds something, or moves it on.
    Changes,
    /// Ends work that somebody may still want.
    Ends,
}

/// A command as a tool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The command's name on the wire.
    pub(crate) command: &'static str,
    pub(crate) effect: Effect,
    schema: fn() -> Value,
}

/// Every command that is a tool. Left out are `subscribe`, which has no end, and what only an
/// operator does: backups, jobs, the catalogue of skills, the names of secrets, and the end of a tenant;
/// and what an agent in a jail asks for itself.
pub(crate) const TABLE: [Row; 29] = [
    row::<NoFields>("status", Effect::Looks),
    row::<NoFields>("service-check", Effect::Looks),
    row::<NoFields>("snapshot", Effect::Looks),
    row::<ListTasks>("list-tasks", Effect::Looks),
    row::<GetTask>("get-task", Effect::Looks),
    row::<GetSession>("get-session", Effect::Looks),
    row::<Paging>("list-agents", Effect::Looks),
    row::<Paging>("list-skills", Effect::Looks),
    row::<Paging>("list-jobs", Effect::Looks),
    row::<Paging>("list-tenants", Effect::Looks),
    row::<AgentLog>("agent-log", Effect::Looks),
    row::<CreateTask>("create-task", Effect::Changes),
    row::<IntakeTask>("intake-task", Effect::Changes),
    row::<ClaimTask>("claim-task", Effect::Changes),
    row::<TransitionTask>("transition-task", Effect::Changes),
    row::<CancelTask>("cancel-task", Effect::Ends),
    row::<RetryTask>("retry-task", Effect::Changes),
    row::<RegisterAgent>("register-agent", Effect::Changes),
    row::<Heartbeat>("heartbeat", Effect::Changes),
    row::<SpawnAgent>("spawn-agent", Effect::Changes),
    row::<StopAgent>("stop-agent", Effect::Ends),
    row::<DismissPane>("dismiss-pane", Effect::Changes),
    row::<SendPrompt>("send-prompt", Effect::Changes),
    row::<AnswerAgent>("answer-agent", Effect::Changes),
    row::<CompactSession>("compact-session", Effect::Changes),
    row::<SetCostMode>("set-cost-mode", Effect::Changes),
    row::<RegisterTenant>("register-tenant", Effect::Changes),
    row::<OneTenant>("provision-tenant", Effect::Changes),
    row::<OneTenant>("rotate-tenant", Effect::Changes),
];

const fn row<Fields: JsonSchema>(command: &'static str, effect: Effect) -> Row {
    Row {
        command,
        effect,
        schema: schema_of::<Fields>,
    }
}

/// Without references: not every client follows them, and no type here contains itself.
fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

impl Row {
    /// The tool of this name, whether it is offered or not.
    pub(crate) fn named(tool: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.name() == tool)
    }

    /// The tool's name: few clients allow `-`, all allow `_`.
    pub(crate) fn name(&self) -> String {
        format!("colibri_{}", self.command.replace('-', "_"))
    }

    /// How the tool describes itself.
    pub(crate) fn tool(&self) -> Tool {
        let mut input = match (self.schema)() {
            Value::Object(input) => input,
            _ => JsonObject::new(),
        };
        // These describe the Rust type; the description of the command is the one to read.
        for noise in ["$schema", "title", "description"] {
            input.remove(noise);
        }
        // A command without fields is an object all the same; clients want to see its (no) fields.
        input
            .entry("properties")
            .or_insert_with(|| Value::Object(JsonObject::new()));
        let annotations = ToolAnnotations::new()
            .read_only(self.effect == Effect::Looks)
            .destructive(self.effect == Effect::Ends)
            .open_world(matches!(
                self.command,
                "spawn-agent"
                    | "send-prompt"
                    | "answer-agent"
                    | "provision-tenant"
                    | "rotate-tenant"
            ));
        Tool::new(self.name(), description_of(self.command), input).with_annotations(annotations)
    }
}

/// What the protocol's own reference says of a command.
fn description_of(command: &str) -> String {
    let commands = schema_of::<Command>();
    let variants = commands["oneOf"].as_array();
    let text = variants
        .into_iter()
        .flatten()
        .find(|variant| variant["properties"]["cmd"]["const"] == command)
        .and_then(|variant| variant["description"].as_str())
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_a_command_with_a_description_and_an_object_of_fields() {
        for row in TABLE {
            assert!(Command::NAMES.contains(&row.command), "{}", row.command);
            assert_eq!(Row::named(&row.name()).unwrap().command, row.command);
            let tool = row.tool();
            let description = tool.description.unwrap();
            assert!(description.len() > 10, "{}: {description}", row.command);
            let input = Value::Object(tool.input_schema.as_ref().clone());
            assert_eq!(input["type"], "object", "{}", row.command);
            assert_eq!(input["additionalProperties"], false, "{}", row.command);
            assert!(!input.to_string().contains("$ref"), "{input}");
        }
    }

    #[test]
    fn a_command_of_the_protocol_is_a_tool_or_left_out_on_purpose() {
        let left_out = [
            "subscribe",
            "register-skill",
            "create-job",
            "remove-job",
            "list-secrets",
            "remove-tenant",
            "request-tenant",
            "backup",
        ];
        for name in Command::NAMES {
            let is_tool = TABLE.iter().any(|row| row.command == *name);
            assert!(is_tool != left_out.contains(name), "{name}");
        }
    }

    #[test]
    fn rules_of_the_protocol_reach_the_model() {
        let tool = Row::named("colibri_create_task").unwrap().tool();
        let input = Value::Object(tool.input_schema.as_ref().clone());
        assert_eq!(input["required"], serde_json::json!(["title"]));
        assert_eq!(input["properties"]["title"]["maxLength"], 200);
        let item = &input["properties"]["capabilities"]["items"];
        assert!(item["description"].to_string().contains("lower-case"));
    }
}
