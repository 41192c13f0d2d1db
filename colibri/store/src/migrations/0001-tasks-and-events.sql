-- Schema 1: the board's tasks and the record of what happened to them.
-- A migration that has shipped is never edited; the next change is the next file.

-- "COLI" in ASCII: whose file this is.
PRAGMA application_id = 1129270345;

CREATE TABLE tasks (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    title       TEXT NOT NULL,
    description TEXT NOT NULL,
    status      TEXT NOT NULL
                CHECK (status IN ('queued', 'claimed', 'started', 'done', 'failed', 'cancelled')),
    created_by  TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    updated_at  TEXT NOT NULL
) STRICT;

-- A page of one status is one range of this index, however many tasks there are.
CREATE INDEX tasks_by_status ON tasks (status, seq);

-- What happened, in order; never changed afterwards.
CREATE TABLE events (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     TEXT NOT NULL,
    actor  TEXT NOT NULL,
    kind   TEXT NOT NULL,
    task   TEXT REFERENCES tasks (id),
    detail TEXT NOT NULL CHECK (json_valid(detail))
) STRICT;

CREATE INDEX events_by_task ON events (task, seq);

CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

-- Counting a million rows for each `status` would be slow, so the counts are
-- kept by triggers, in the same transaction as the change itself.
CREATE TABLE task_counts (
    status TEXT PRIMARY KEY,
    count  INTEGER NOT NULL CHECK (count >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO task_counts (status, count)
VALUES ('queued', 0), ('claimed', 0), ('started', 0), ('done', 0), ('failed', 0), ('cancelled', 0);

CREATE TRIGGER tasks_counted_in AFTER INSERT ON tasks
BEGIN
    UPDATE task_counts SET count = count + 1 WHERE status = new.status;
END;

CREATE TRIGGER tasks_counted_over AFTER UPDATE OF status ON tasks
BEGIN
    UPDATE task_counts SET count = count - 1 WHERE status = old.status;
    UPDATE task_counts SET count = count + 1 WHERE status = new.status;
END;

CREATE TRIGGER tasks_counted_out AFTER DELETE ON tasks
BEGIN
    UPDATE task_counts SET count = count - 1 WHERE status = old.status;
END;
