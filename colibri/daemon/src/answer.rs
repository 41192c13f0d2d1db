//! What each command does.

use colibri_protocol::{
    Command, ErrorKind, ListTasks, MAX_LINE, NoFields, Reply, ReplyError, Request, Status,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::gate::Peer;
use crate::health;
use crate::server::Service;

/// Bytes of tasks in one reply; the rest of the line is for what surrounds them.
const PAGE_BYTES: usize = MAX_LINE - 4096;

/// Carries out one line and gives the line to answer with.
pub(crate) async fn to_line(line: &[u8], peer: Peer, service: &Service) -> Vec<u8> {
    let (id, outcome) = match Request::parse(line) {
        Ok(request) => (request.id, answer(request.command, peer, service).await),
        Err(refused) => (refused.id, Err(refused.error)),
    };
    match Reply::new(id.clone(), outcome).to_line() {
        Ok(line) if line.len() <= MAX_LINE + 1 => line,
        made => {
            tracing::error!(
                length = made.map_or(0, |line| line.len()),
                "a reply cannot be sent"
            );
            let error = ReplyError::new(ErrorKind::Internal, "the reply does not fit into a line");
            Reply::new(id, Err(error)).to_line().unwrap_or_default()
        }
    }
}

async fn answer(command: Command, peer: Peer, service: &Service) -> Result<Value, ReplyError> {
    match command {
        Command::Status(NoFields {}) => data(status(service).await?),
        Command::ServiceCheck(NoFields {}) => data(health::check(service).await),
        Command::CreateTask(new) => {
            new.check()?;
            let actor = peer.actor();
            let made = move |batch: &mut colibri_store::Batch<'_>| {
                batch.create_task(new, &actor, Timestamp::now())
            };
            data(service.board.change(made).await?)
        }
        Command::ListTasks(which) => data(list_tasks(which, service).await?),
    }
}

async fn list_tasks(
    which: ListTasks,
    service: &Service,
) -> Result<colibri_protocol::TaskPage, ReplyError> {
    let limit = which.checked_limit()?;
    service
        .board
        .read(move |reader| reader.tasks(&which, limit, PAGE_BYTES))
        .await
}

async fn status(service: &Service) -> Result<Status, ReplyError> {
    let (tasks, database) = service
        .board
        .read(|reader| Ok((reader.task_counts()?, reader.database_status()?)))
        .await?;
    let config = &service.config;
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: config.host.clone(),
        pid: std::process::id(),
        started_at: service.started_at,
        uptime_seconds: service.started.elapsed().as_secs(),
        data_dir: config.data_dir.clone(),
        db_path: config.db_path.clone(),
        socket: config.socket.clone(),
        cost_mode: config.cost_mode,
        clients: service.clients(),
        max_clients: config.max_clients,
        tasks,
        database,
    })
}

fn data(value: impl Serialize) -> Result<Value, ReplyError> {
    serde_json::to_value(value).map_err(|error| {
        tracing::error!("a reply cannot be written: {error}");
        ReplyError::new(ErrorKind::Internal, "the reply cannot be written as JSON")
    })
}
