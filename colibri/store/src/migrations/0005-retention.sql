-- Schema 5: what has ended long ago can be removed, and no sum gets smaller by it.
-- A migration that has shipped is never edited; the next change is the next file.

-- The oldest that have ended, however many tasks there are.
CREATE INDEX tasks_ended ON tasks (updated_at)
    WHERE status IN ('done', 'failed', 'cancelled');

-- The record is still only ever added to; but it begins at this setting, and what is older may go.
DROP TRIGGER events_are_not_deleted;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
WHEN old.at >= coalesce((SELECT value FROM settings WHERE name = 'kept-since'), '')
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

-- What was removed, by how it had ended, and what it had used up.
CREATE TABLE removed (
    status             TEXT PRIMARY KEY,
    tasks              INTEGER NOT NULL DEFAULT 0,
    tokens_in          INTEGER NOT NULL DEFAULT 0,
    tokens_out         INTEGER NOT NULL DEFAULT 0,
    tokens_cache_read  INTEGER NOT NULL DEFAULT 0,
    tokens_cache_write INTEGER NOT NULL DEFAULT 0,
    -- In billionths of a US dollar.
    cost               INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO removed (status) VALUES ('done'), ('failed'), ('cancelled');

-- Each sum ends at the largest number instead of going beyond it.
CREATE TRIGGER tasks_removed AFTER DELETE ON tasks
BEGIN
    UPDATE removed SET
        tasks = tasks + 1,
        tokens_in = tokens_in + min(old.tokens_in, 9223372036854775807 - tokens_in),
        tokens_out = tokens_out + min(old.tokens_out, 9223372036854775807 - tokens_out),
        tokens_cache_read = tokens_cache_read
            + min(old.tokens_cache_read, 9223372036854775807 - tokens_cache_read),
        tokens_cache_write = tokens_cache_write
            + min(old.tokens_cache_write, 9223372036854775807 - tokens_cache_write),
        cost = cost + min(old.cost, 9223372036854775807 - cost)
    WHERE status = old.status;
END;
