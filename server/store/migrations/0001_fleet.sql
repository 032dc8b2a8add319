-- +goose Up
-- Rules of this folder: append-only files, one transaction each. Columns are added
-- by column-level ALTER; a table that others point at is never rebuilt, since
-- dropping it would empty its children. No CHECK on a list that may grow. Times are
-- microseconds since 1970 UTC, 0 is never. Ids are text made in Go.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    role          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    disabled      BOOLEAN NOT NULL,
    generation    BIGINT  NOT NULL DEFAULT 0,
    created_at    BIGINT  NOT NULL,
    last_sign_in  BIGINT  NOT NULL DEFAULT 0
);

-- The browser's sessions; the token is kept as a hash.
CREATE TABLE sign_ins (
    token_hash TEXT PRIMARY KEY,
    data       TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sign_ins_expires_at ON sign_ins (expires_at);

-- Failed sign-ins by account and by address, so that the throttle holds for all replicas.
CREATE TABLE throttles (
    key        TEXT PRIMARY KEY,
    failures   BIGINT NOT NULL,
    first_at   BIGINT NOT NULL,
    blocked_to BIGINT NOT NULL
);

CREATE TABLE audit (
    seq         BIGINT PRIMARY KEY,
    at          BIGINT NOT NULL,
    actor       TEXT   NOT NULL,
    address     TEXT   NOT NULL,
    action      TEXT   NOT NULL,
    object_type TEXT   NOT NULL,
    object_id   TEXT   NOT NULL,
    object_name TEXT   NOT NULL,
    detail      TEXT   NOT NULL,
    request_id  TEXT   NOT NULL,
    prev_hash   TEXT   NOT NULL,
    hash        TEXT   NOT NULL
);
CREATE INDEX audit_object ON audit (object_id, seq);

CREATE TABLE hosts (
    id                TEXT PRIMARY KEY,
    name              TEXT    NOT NULL UNIQUE,
    tags              TEXT    NOT NULL,
    profile           TEXT    NOT NULL,
    disabled          BOOLEAN NOT NULL,
    version           BIGINT  NOT NULL DEFAULT 1,
    created_at        BIGINT  NOT NULL,
    enrolled_at       BIGINT  NOT NULL DEFAULT 0,
    prefixes          TEXT    NOT NULL DEFAULT '[]',
    snapshot_host     TEXT    NOT NULL DEFAULT '',
    last_contact      BIGINT  NOT NULL DEFAULT 0,
    contact_deadline  BIGINT  NOT NULL DEFAULT 0,
    os                TEXT    NOT NULL DEFAULT '',
    arch              TEXT    NOT NULL DEFAULT '',
    agent_version     TEXT    NOT NULL DEFAULT '',
    restic_version    TEXT    NOT NULL DEFAULT '',
    policy            TEXT    NOT NULL DEFAULT '',
    health            TEXT    NOT NULL DEFAULT '',
    spool             TEXT    NOT NULL DEFAULT '',
    last_exchange     TEXT    NOT NULL DEFAULT '',
    clock_offset      BIGINT  NOT NULL DEFAULT 0,
    command_seq       BIGINT  NOT NULL DEFAULT 0,
    acked_seq         BIGINT  NOT NULL DEFAULT 0,
    journal_id        TEXT    NOT NULL DEFAULT '',
    session_no        BIGINT  NOT NULL DEFAULT 0,
    config_revision   BIGINT  NOT NULL DEFAULT 1,
    config_in_force   BIGINT  NOT NULL DEFAULT 0,
    config_error      TEXT    NOT NULL DEFAULT '',
    schedules         INTEGER NOT NULL DEFAULT 0,
    enabled_schedules INTEGER NOT NULL DEFAULT 0,
    timed_schedules   INTEGER NOT NULL DEFAULT 0,
    snapshots         INTEGER NOT NULL DEFAULT 0,
    active_jobs       INTEGER NOT NULL DEFAULT 0,
    last_backup       TEXT    NOT NULL DEFAULT '',
    last_good_backup  BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX hosts_contact_deadline ON hosts (contact_deadline);

CREATE TABLE installations (
    id               TEXT PRIMARY KEY,
    host_id          TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    secret_hash      TEXT    NOT NULL,
    next_secret_hash TEXT    NOT NULL DEFAULT '',
    next_until       BIGINT  NOT NULL DEFAULT 0,
    active           BOOLEAN NOT NULL,
    superseded_at    BIGINT  NOT NULL DEFAULT 0,
    created_at       BIGINT  NOT NULL
);
CREATE INDEX installations_host ON installations (host_id);

-- Ids of hosts that were deleted are never given again, and their agents are told so.
CREATE TABLE deleted_hosts (
    id         TEXT PRIMARY KEY,
    deleted_at BIGINT NOT NULL
);

CREATE TABLE enrolment_tokens (
    id          TEXT PRIMARY KEY,
    host_id     TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    secret_hash TEXT   NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    revoked_at  BIGINT NOT NULL DEFAULT 0,
    used_at     BIGINT NOT NULL DEFAULT 0,
    used_by     TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX enrolment_tokens_host ON enrolment_tokens (host_id, created_at);

CREATE TABLE sessions (
    id            TEXT PRIMARY KEY,
    host_id       TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    no            BIGINT NOT NULL,
    install_id    TEXT   NOT NULL,
    boot_id       TEXT   NOT NULL,
    opened_at     BIGINT NOT NULL,
    superseded_at BIGINT NOT NULL DEFAULT 0,
    closed_at     BIGINT NOT NULL DEFAULT 0,
    UNIQUE (host_id, no)
);

CREATE TABLE repositories (
    id                        TEXT PRIMARY KEY,
    name                      TEXT    NOT NULL UNIQUE,
    location                  TEXT    NOT NULL,
    existing                  BOOLEAN NOT NULL,
    state                     TEXT    NOT NULL,
    restic_id                 TEXT    NOT NULL DEFAULT '',
    key_id                    TEXT    NOT NULL DEFAULT '',
    password_made_here        BOOLEAN NOT NULL,
    sheet_saved               BOOLEAN NOT NULL,
    allow_deleting_credential BOOLEAN NOT NULL,
    can_delete                TEXT    NOT NULL DEFAULT 'unknown',
    init_job                  TEXT    NOT NULL DEFAULT '',
    version                   BIGINT  NOT NULL DEFAULT 1,
    created_at                BIGINT  NOT NULL,
    hosts                     INTEGER NOT NULL DEFAULT 0,
    schedules                 INTEGER NOT NULL DEFAULT 0,
    snapshots                 INTEGER NOT NULL DEFAULT 0,
    last_snapshot             BIGINT  NOT NULL DEFAULT 0
);

-- host_id is empty for the credential of all hosts, so it is no foreign key; rows of
-- a host go in the transaction that deletes it.
CREATE TABLE credentials (
    id            TEXT PRIMARY KEY,
    repository_id TEXT   NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    host_id       TEXT   NOT NULL DEFAULT '',
    slot          TEXT   NOT NULL,
    username      TEXT   NOT NULL DEFAULT '',
    location      TEXT   NOT NULL DEFAULT '',
    sealed        TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    UNIQUE (repository_id, host_id, slot)
);

CREATE TABLE schedules (
    id            TEXT PRIMARY KEY,
    host_id       TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    repository_id TEXT    NOT NULL REFERENCES repositories (id),
    name          TEXT    NOT NULL,
    paths         TEXT    NOT NULL,
    excludes      TEXT    NOT NULL,
    tags          TEXT    NOT NULL,
    manual        BOOLEAN NOT NULL,
    cron          TEXT    NOT NULL,
    zone          TEXT    NOT NULL,
    enabled       BOOLEAN NOT NULL,
    retention     TEXT    NOT NULL,
    version       BIGINT  NOT NULL,
    revision      BIGINT  NOT NULL,
    created_at    BIGINT  NOT NULL,
    updated_at    BIGINT  NOT NULL,
    last_job      TEXT    NOT NULL DEFAULT '',
    last_good     BIGINT  NOT NULL DEFAULT 0,
    UNIQUE (host_id, name)
);
CREATE INDEX schedules_repository ON schedules (repository_id);

-- Jobs outlive their schedule and repository, so those are no foreign keys.
CREATE TABLE jobs (
    id               TEXT PRIMARY KEY,
    host_id          TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    repository_id    TEXT    NOT NULL DEFAULT '',
    schedule_id      TEXT    NOT NULL DEFAULT '',
    operation        TEXT    NOT NULL,
    params           TEXT    NOT NULL DEFAULT '',
    job_trigger      TEXT    NOT NULL,
    slot             BIGINT  NOT NULL DEFAULT 0,
    created_by       TEXT    NOT NULL DEFAULT '',
    state            TEXT    NOT NULL,
    waiting_on       TEXT    NOT NULL DEFAULT '',
    result           TEXT    NOT NULL DEFAULT '',
    outcome          TEXT    NOT NULL DEFAULT '',
    snapshot_id      TEXT    NOT NULL DEFAULT '',
    epoch            BIGINT  NOT NULL DEFAULT 1,
    attempt          INTEGER NOT NULL DEFAULT 1,
    late             BOOLEAN NOT NULL,
    unconfirmed      BOOLEAN NOT NULL,
    cancel_requested BOOLEAN NOT NULL,
    progress         TEXT    NOT NULL DEFAULT '',
    version          BIGINT  NOT NULL DEFAULT 1,
    writer_id        TEXT    NOT NULL DEFAULT '',
    next_event_seq   BIGINT  NOT NULL DEFAULT 1,
    next_log_seq     BIGINT  NOT NULL DEFAULT 1,
    log_lines        BIGINT  NOT NULL DEFAULT 0,
    created_at       BIGINT  NOT NULL,
    expires_at       BIGINT  NOT NULL DEFAULT 0,
    lease_until      BIGINT  NOT NULL DEFAULT 0,
    last_report      BIGINT  NOT NULL DEFAULT 0,
    started_at       BIGINT  NOT NULL DEFAULT 0,
    finished_at      BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX jobs_created ON jobs (created_at, id);
CREATE INDEX jobs_host ON jobs (host_id, created_at, id);
CREATE INDEX jobs_repository ON jobs (repository_id, created_at, id);
CREATE INDEX jobs_schedule ON jobs (schedule_id, created_at, id);
CREATE INDEX jobs_active ON jobs (state, lease_until) WHERE state <> 'finished';
-- At most one run of a schedule waits to be picked up.
CREATE UNIQUE INDEX jobs_one_pending ON jobs (schedule_id) WHERE state = 'pending' AND schedule_id <> '';

CREATE TABLE commands (
    host_id       TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    seq           BIGINT NOT NULL,
    id            TEXT   NOT NULL UNIQUE,
    kind          TEXT   NOT NULL,
    job_id        TEXT   NOT NULL,
    epoch         BIGINT NOT NULL,
    operation     TEXT   NOT NULL DEFAULT '',
    job_trigger   TEXT   NOT NULL DEFAULT '',
    params        TEXT   NOT NULL DEFAULT '',
    state         TEXT   NOT NULL,
    issued_at     BIGINT NOT NULL,
    start_by      BIGINT NOT NULL DEFAULT 0,
    offered_at    BIGINT NOT NULL DEFAULT 0,
    offered_count BIGINT NOT NULL DEFAULT 0,
    acked_at      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (host_id, seq)
);
CREATE INDEX commands_job ON commands (job_id);
CREATE INDEX commands_queued ON commands (issued_at) WHERE state = 'queued';

CREATE TABLE events (
    job_id      TEXT   NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq         BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (job_id, seq)
);

-- Who watches a job: its agent then reports each second.
CREATE TABLE interest (
    job_id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    until  BIGINT NOT NULL
);

CREATE TABLE snapshots (
    repository_id TEXT   NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    id            TEXT   NOT NULL,
    host_id       TEXT   NOT NULL DEFAULT '',
    schedule_id   TEXT   NOT NULL DEFAULT '',
    job_id        TEXT   NOT NULL DEFAULT '',
    time_at       BIGINT NOT NULL,
    first_seen    BIGINT NOT NULL,
    last_seen     BIGINT NOT NULL,
    hostname      TEXT   NOT NULL,
    username      TEXT   NOT NULL DEFAULT '',
    paths         TEXT   NOT NULL,
    tags          TEXT   NOT NULL,
    files         BIGINT NOT NULL DEFAULT 0,
    bytes         BIGINT NOT NULL DEFAULT 0,
    bytes_added   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (repository_id, id)
);
CREATE INDEX snapshots_time ON snapshots (time_at, id);
CREATE INDEX snapshots_host ON snapshots (host_id, time_at, id);
CREATE INDEX snapshots_schedule ON snapshots (schedule_id, time_at, id);

-- Object ids of two kinds, so no foreign key; rows go with their object.
CREATE TABLE conditions (
    object_type TEXT   NOT NULL,
    object_id   TEXT   NOT NULL,
    code        TEXT   NOT NULL,
    severity    TEXT   NOT NULL,
    message     TEXT   NOT NULL,
    next_step   TEXT   NOT NULL DEFAULT '',
    job_id      TEXT   NOT NULL DEFAULT '',
    since       BIGINT NOT NULL,
    PRIMARY KEY (object_type, object_id, code)
);

-- The changes feed: hints, kept for an hour, numbered under the lock of the feed row
-- by a flusher and not by business transactions, so that readers never skip one.
CREATE TABLE feed (
    name   TEXT PRIMARY KEY,
    cursor BIGINT NOT NULL
);
CREATE TABLE changes (
    seq   BIGINT NOT NULL,
    topic TEXT   NOT NULL,
    id    TEXT   NOT NULL,
    at    BIGINT NOT NULL,
    PRIMARY KEY (seq, topic, id)
);

CREATE TABLE idempotency (
    key_hash    TEXT PRIMARY KEY,
    fingerprint TEXT   NOT NULL,
    status      INTEGER NOT NULL DEFAULT 0,
    body        TEXT   NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL
);
CREATE INDEX idempotency_created ON idempotency (created_at);

CREATE TABLE replicas (
    id   TEXT PRIMARY KEY,
    beat BIGINT NOT NULL
);
