-- Schema 3: which agents the daemon runs itself.
-- A migration that has shipped is never edited; the next change is the next file.

-- 1: the daemon has started the agent's process, which ends with it. Of agents from before this
-- schema nobody knows, so what they hold waits for the end of its lease, as it always did.
ALTER TABLE agents ADD COLUMN spawned INTEGER NOT NULL DEFAULT 0 CHECK (spawned IN (0, 1));
