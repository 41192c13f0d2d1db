-- Schema 6: tenants, each with a jail, and the agents that belong to them.
-- A migration that has shipped is never edited; the next change is the next file.

CREATE TABLE tenants (
    tenant_id     TEXT PRIMARY KEY,
    -- Addresses and accounts of the jail are made from it.
    number        INTEGER NOT NULL UNIQUE CHECK (number BETWEEN 1 AND 4000),
    jail_root     TEXT,
    -- Which collection was asked for: the tenant's own if there is a vault, one by its name, or none.
    bucket        TEXT NOT NULL CHECK (bucket IN ('own', 'named', 'none')),
    collection    TEXT CHECK (bucket = 'own' OR (collection IS NOT NULL) = (bucket = 'named')),
    collection_id TEXT,
    limits        TEXT NOT NULL CHECK (json_valid(limits)),
    status        TEXT NOT NULL
                  CHECK (status IN ('registered', 'provisioning', 'provisioned', 'active', 'failed',
                                    'stopped', 'removing')),
    reason        TEXT CHECK (status <> 'failed' OR reason IS NOT NULL),
    removal       TEXT CHECK (removal IN ('archive', 'destroy')),
    -- Not a reference: a parent may go before its children.
    parent        TEXT,
    depth         INTEGER NOT NULL CHECK (depth >= 0),
    created_by    TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    -- Seconds, and when they are over.
    ttl           INTEGER,
    expires_at    TEXT CHECK ((expires_at IS NULL) = (ttl IS NULL)),
    -- Seconds.
    idle_after    INTEGER,
    last_active   TEXT NOT NULL,
    CHECK ((removal IS NOT NULL) = (status = 'removing'))
) STRICT, WITHOUT ROWID;

CREATE INDEX tenants_by_status ON tenants (status);
CREATE INDEX tenants_by_parent ON tenants (parent) WHERE parent IS NOT NULL;

-- An agent of a tenant, and how it is started.
CREATE TABLE tenant_agents (
    name      TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    spawn     TEXT NOT NULL CHECK (json_valid(spawn)),
    -- 0: an operator has stopped it, and it is not started by itself.
    wanted    INTEGER NOT NULL CHECK (wanted IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX tenant_agents_by_tenant ON tenant_agents (tenant_id, name);
