//! Answers what a client of the Model Context Protocol asks, with the daemon's own answers.

use colibri_protocol::Request;
use colibri_protocol::client::{Client, ClientError};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::Value;

use crate::tools::{Effect, Row, TABLE};

/// Offers the tools, and asks the daemon anew for each call: a daemon that was started again in
/// between is no trouble.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    client: Client,
    write: bool,
}

impl Server {
    pub(crate) fn new(client: Client, write: bool) -> Self {
        Self { client, write }
    }

    fn offers(&self, row: &Row) -> bool {
        self.write || row.effect == Effect::Looks
    }

    async fn call(&self, row: &Row, arguments: JsonObject) -> Result<Value, String> {
        if !self.offers(row) {
            return Err(format!(
                "{} changes things, and this server only looks: it was started without --write",
                row.name()
            ));
        }
        let request = request(row, arguments)?;
        let client = self.client.clone();
        // The client blocks; other calls must not wait for a slow one.
        let answer = tokio::task::spawn_blocking(move || client.ask_raw(&request)).await;
        answer
            .map_err(|error| format!("internal: {error}"))?
            .map_err(|error| match &error {
                ClientError::Refused { error } => format!("{}: {error}", error.kind),
                _ => error.to_string(),
            })
    }
}

/// The request that a call stands for, read by the protocol's own rules.
fn request(row: &Row, mut arguments: JsonObject) -> Result<Request, String> {
    // On the wire these two are no fields of the command: without this, `cmd` would be another
    // tool's, and `id` would vanish.
    for reserved in ["cmd", "id"] {
        if arguments.contains_key(reserved) {
            return Err(format!("{} has no argument `{reserved}`", row.name()));
        }
    }
    // Models like to fill in everything; an optional field that is null is one that is absent.
    arguments.retain(|_, value| !value.is_null());
    arguments.insert("cmd".to_owned(), row.command.into());
    let line = Value::Object(arguments).to_string();
    Request::parse(line.as_bytes()).map_err(|refused| refused.error.message)
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let rights = if self.write {
            "Tools that change something are offered."
        } else {
            "Only tools that look are offered."
        };
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(
                "colibri-mcp",
                env!("CARGO_PKG_VERSION"),
            ))
            .with_instructions(format!(
                "Colibri supervises the agents of a host: it keeps their tasks, and their panes show \
                 what each is doing. Lists come in pages; give `next` as `after` for the next one. \
                 {rights}"
            ))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let offered = TABLE.iter().filter(|row| self.offers(row));
        Ok(ListToolsResult::with_all_items(
            offered.map(Row::tool).collect(),
        ))
    }

    /// What goes wrong with a call is told in its result, where the model reads it; errors of the
    /// protocol are for the client and seldom reach it.
    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(row) = Row::named(&call.name) else {
            // It comes back in the message: not a megabyte of it.
            let shown: String = call.name.chars().take(40).collect();
            return Err(ErrorData::invalid_params(
                format!("unknown tool `{shown}`; tools/list names those there are"),
                None,
            ));
        };
        let result = match self.call(row, call.arguments.unwrap_or_default()).await {
            Ok(data) => CallToolResult::structured(data),
            Err(fault) => CallToolResult::error(vec![ContentBlock::text(fault)]),
        };
        Ok(result.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(tool: &str, arguments: Value) -> Result<Request, String> {
        let Value::Object(arguments) = arguments else {
            panic!("an object")
        };
        request(Row::named(tool).unwrap(), arguments)
    }

    #[test]
    fn no_argument_makes_another_command_of_a_call() {
        for arguments in [json!({"cmd": "backup"}), json!({"id": 1})] {
            let error = parsed("colibri_status", arguments).unwrap_err();
            assert!(
                error.starts_with("colibri_status has no argument"),
                "{error}"
            );
        }
        let error = parsed("colibri_status", json!({"verbose": true})).unwrap_err();
        assert!(error.contains("unknown field `verbose`"), "{error}");
    }

    #[test]
    fn null_is_absent() {
        let arguments = json!({"title": "t", "description": null, "max_attempts": null});
        assert!(parsed("colibri_create_task", arguments).is_ok());
        let error = parsed("colibri_create_task", json!({"title": null})).unwrap_err();
        assert!(error.contains("missing field `title`"), "{error}");
    }
}
