//! A model's whole way: `colibri-mcp` with the daemon and an agent.

#[path = "../../../mcp/tests/client/mod.rs"]
mod client;

use std::path::Path;
use std::process::Command;

use serde_json::json;

use client::Mcp;

use crate::agents::{test_agent, wait};
use crate::harness::{Home, LONG, built};

/// The tools of the daemon, or the agent, that has this socket.
pub(crate) fn tools(socket: &Path, flags: &[&str]) -> Mcp {
    Mcp::start(
        Command::new(built("colibri-mcp"))
            .args(flags)
            .env_clear()
            .env("COLIBRI_DAEMON_SOCKET", socket),
    )
}

#[test]
fn a_model_gives_work_reads_why_an_agent_fails_and_clears_it_away() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let mut mcp = tools(&home.socket(), &["--write"]);
    let spawn = |name: &str, args: &[&str]| json!({"name": name, "runtime": "local", "program": test_agent(), "args": args});
    let started = mcp
        .call(
            "colibri_spawn_agent",
            spawn("ada", &["--rpc", "--step-ms", "1"]),
        )
        .unwrap();
    assert_eq!(started["agent"], "ada");
    let task = mcp
        .call("colibri_create_task", json!({"title": "Read the note"}))
        .unwrap();
    wait("its end", LONG, || {
        let which = json!({"task_id": task["id"]});
        let found = mcp.call("colibri_get_task", which).unwrap();
        (found["task"]["status"] == "done").then_some(())
    });

    mcp.call("colibri_spawn_agent", spawn("bad", &["--no-such-flag"]))
        .unwrap();
    wait("its fault", LONG, || {
        let seen = mcp.call("colibri_snapshot", json!({})).unwrap();
        (seen["attention"] == 1).then_some(())
    });
    let log = mcp
        .call("colibri_agent_log", json!({"agent": "bad", "lines": null}))
        .unwrap();
    assert!(log["lines"].to_string().contains("--no-such-flag"), "{log}");
    let refused = mcp.call("colibri_dismiss_pane", json!({"agent": "ada"}));
    assert!(refused.unwrap_err().starts_with("conflict: "));
    // Its keeper may need a moment more than its pane.
    wait("its dismissal", LONG, || {
        mcp.call("colibri_dismiss_pane", json!({"agent": "bad"}))
            .ok()
    });
    let status = mcp.call("colibri_status", json!({})).unwrap();
    assert_eq!(status["tasks"]["done"], 1, "{status}");
    mcp.call("colibri_stop_agent", json!({"agent": "ada"}))
        .unwrap();
    mcp.end();
}
