-- Schema 4: tasks that are tried again after a pause, and agents that are given none.
-- A migration that has shipped is never edited; the next change is the next file.

-- Until then a queued task is given to nobody. The scheduler clears it when the time has come, so
-- that the tasks that can be given are found without looking at those that cannot.
ALTER TABLE tasks ADD COLUMN not_before TEXT
    CHECK (not_before IS NULL OR status = 'queued');

DROP INDEX tasks_waiting;
CREATE INDEX tasks_waiting ON tasks (capabilities, seq)
    WHERE status = 'queued' AND not_before IS NULL;
CREATE INDEX tasks_pausing ON tasks (not_before) WHERE not_before IS NOT NULL;

-- 0: the agent has no slots; `slots` itself cannot be 0.
ALTER TABLE agents ADD COLUMN takes_tasks INTEGER NOT NULL DEFAULT 1
    CHECK (takes_tasks IN (0, 1));
