-- +goose Up
ALTER TABLE repositories ADD COLUMN maintenance_host TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN maintenance_location TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN plan TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN health TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN next_retention BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN next_prune BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN next_check BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN next_measure BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN hold_job TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN hold_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN hold_until BIGINT NOT NULL DEFAULT 0;
CREATE INDEX repositories_maintenance ON repositories (maintenance_host) WHERE maintenance_host <> '';
CREATE INDEX repositories_hold ON repositories (hold_until) WHERE hold_job <> '';

-- held: an exclusive job that waits at the server for its turn; it has no command yet.
-- access_host: the host whose append credential is used, where it is not the job's own.
-- row_count: how many rows its result has, once all have come.
ALTER TABLE jobs ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE jobs ADD COLUMN access_host TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN row_count BIGINT NOT NULL DEFAULT 0;
CREATE INDEX jobs_held ON jobs (repository_id, created_at, id) WHERE held;

-- The locks that the last listing of a repository found.
CREATE TABLE repository_locks (
    repository_id TEXT    NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    id            TEXT    NOT NULL,
    hostname      TEXT    NOT NULL DEFAULT '',
    username      TEXT    NOT NULL DEFAULT '',
    pid           BIGINT  NOT NULL DEFAULT 0,
    exclusive     BOOLEAN NOT NULL,
    created_at    BIGINT  NOT NULL DEFAULT 0,
    host_id       TEXT    NOT NULL DEFAULT '',
    alive         TEXT    NOT NULL DEFAULT 'unknown',
    alive_at      BIGINT  NOT NULL DEFAULT 0,
    seen_at       BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (repository_id, id)
);

-- The last measurement of each day of UTC.
CREATE TABLE repository_days (
    repository_id TEXT   NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    day           BIGINT NOT NULL,
    stored_bytes  BIGINT NOT NULL DEFAULT 0,
    plain_bytes   BIGINT NOT NULL DEFAULT 0,
    source_bytes  BIGINT NOT NULL DEFAULT 0,
    snapshots     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (repository_id, day)
);

-- Indexes of snapshots for browsing, and their blocks, see 0010.
CREATE TABLE listings (
    repository_id TEXT   NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    snapshot_id   TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    job_id        TEXT   NOT NULL DEFAULT '',
    message       TEXT   NOT NULL DEFAULT '',
    entries       BIGINT NOT NULL DEFAULT 0,
    bytes         BIGINT NOT NULL DEFAULT 0,
    made_at       BIGINT NOT NULL DEFAULT 0,
    used_at       BIGINT NOT NULL DEFAULT 0,
    version       BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (repository_id, snapshot_id)
);
CREATE INDEX listings_used ON listings (used_at);
