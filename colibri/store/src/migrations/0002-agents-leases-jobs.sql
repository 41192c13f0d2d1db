-- Schema 2: agents, what a task needs and who has it, skills, jobs, settings.
-- A migration that has shipped is never edited; the next change is the next file.

-- Before this schema nobody could hold a task, and now who does has a lease.
UPDATE tasks SET status = 'queued' WHERE status IN ('claimed', 'started');

CREATE TABLE agents (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    capabilities  TEXT NOT NULL CHECK (json_type(capabilities) = 'array'),
    host          TEXT NOT NULL,
    slots         INTEGER NOT NULL CHECK (slots > 0),
    registered_at TEXT NOT NULL,
    last_seen     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A sorted JSON list without spaces, so that two tasks with the same needs have the same text.
ALTER TABLE tasks ADD COLUMN capabilities TEXT NOT NULL DEFAULT '[]'
    CHECK (json_type(capabilities) = 'array');
ALTER TABLE tasks ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0);
ALTER TABLE tasks ADD COLUMN max_attempts INTEGER NOT NULL DEFAULT 3 CHECK (max_attempts > 0);
ALTER TABLE tasks ADD COLUMN agent_id TEXT REFERENCES agents (id);
-- Set as long as an agent holds the task, and only then.
ALTER TABLE tasks ADD COLUMN lease_until TEXT
    CHECK ((lease_until IS NOT NULL) = (status IN ('claimed', 'started')));
ALTER TABLE tasks ADD COLUMN result TEXT;
ALTER TABLE tasks ADD COLUMN error TEXT;
ALTER TABLE tasks ADD COLUMN tokens_in INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN tokens_out INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN tokens_cache_read INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN tokens_cache_write INTEGER NOT NULL DEFAULT 0;
-- In billionths of a US dollar.
ALTER TABLE tasks ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
-- Not a reference: tasks stay when their job is removed.
ALTER TABLE tasks ADD COLUMN job_id TEXT;

CREATE INDEX tasks_by_agent ON tasks (agent_id, seq) WHERE agent_id IS NOT NULL;
CREATE INDEX tasks_by_agent_and_status ON tasks (agent_id, status, seq) WHERE agent_id IS NOT NULL;
-- Few rows, however many tasks there are: what is held now, by holder and by end of lease.
CREATE INDEX tasks_held ON tasks (agent_id) WHERE lease_until IS NOT NULL;
CREATE INDEX tasks_by_lease ON tasks (lease_until) WHERE lease_until IS NOT NULL;
-- The scheduler takes the oldest of each set of needs, without looking at those behind it.
CREATE INDEX tasks_waiting ON tasks (capabilities, seq) WHERE status = 'queued';

CREATE TABLE skills (
    name          TEXT PRIMARY KEY,
    description   TEXT NOT NULL,
    path          TEXT,
    registered_at TEXT NOT NULL,
    updated_at    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    schedule   TEXT NOT NULL CHECK (json_valid(schedule)),
    missed     TEXT NOT NULL CHECK (missed IN ('skip', 'once', 'all')),
    task       TEXT NOT NULL CHECK (json_valid(task)),
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    next_at    TEXT,
    last_at    TEXT,
    runs       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_by_time ON jobs (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
