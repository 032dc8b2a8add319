-- +goose Up
-- Alerts: at most one of a key is open, whoever raises it.
CREATE TABLE alerts (
    id            TEXT PRIMARY KEY,
    alert_key     TEXT    NOT NULL,
    code          TEXT    NOT NULL,
    subject_type  TEXT    NOT NULL,
    subject_id    TEXT    NOT NULL,
    severity      TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    severity_rank INTEGER NOT NULL,
    title         TEXT    NOT NULL,
    message       TEXT    NOT NULL,
    next_step     TEXT    NOT NULL DEFAULT '',
    objects       TEXT    NOT NULL DEFAULT '',
    objects_total INTEGER NOT NULL DEFAULT 0,
    fact          TEXT    NOT NULL DEFAULT '',
    content       TEXT    NOT NULL DEFAULT '',
    raised_at     BIGINT  NOT NULL,
    last_seen_at  BIGINT  NOT NULL,
    gone_since    BIGINT  NOT NULL DEFAULT 0,
    reminded_at   BIGINT  NOT NULL DEFAULT 0,
    acked_at      BIGINT  NOT NULL DEFAULT 0,
    acked_by      TEXT    NOT NULL DEFAULT '',
    silenced_to   BIGINT  NOT NULL DEFAULT 0,
    resolved_at   BIGINT  NOT NULL DEFAULT 0,
    resolved_by   TEXT    NOT NULL DEFAULT '',
    note          TEXT    NOT NULL DEFAULT '',
    version       BIGINT  NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX alerts_open ON alerts (alert_key) WHERE state <> 'resolved';
CREATE INDEX alerts_key ON alerts (alert_key, resolved_at);
CREATE INDEX alerts_order ON alerts (severity_rank, raised_at, id);

-- The hosts that an alert touches, all of them. A host that was deleted goes with
-- the next evaluation.
CREATE TABLE alert_hosts (
    alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    host_id  TEXT NOT NULL,
    PRIMARY KEY (alert_id, host_id)
);
CREATE INDEX alert_hosts_host ON alert_hosts (host_id);

-- Causes that were seen and are not yet sure.
CREATE TABLE alert_candidates (
    alert_key TEXT PRIMARY KEY,
    since     BIGINT NOT NULL
);

-- Numbers that were seen, where an alert is about their rise.
CREATE TABLE alert_marks (
    mark     TEXT PRIMARY KEY,
    value    BIGINT NOT NULL,
    risen_at BIGINT NOT NULL
);

-- One row: which round of evaluation was last. Replicas take a round by moving it.
CREATE TABLE alert_rounds (
    name  TEXT PRIMARY KEY,
    round BIGINT NOT NULL,
    at    BIGINT NOT NULL
);

CREATE TABLE channels (
    id             TEXT PRIMARY KEY,
    name           TEXT    NOT NULL UNIQUE,
    kind           TEXT    NOT NULL,
    enabled        BOOLEAN NOT NULL,
    settings       TEXT    NOT NULL,
    sealed         TEXT    NOT NULL DEFAULT '',
    sealed_version BIGINT  NOT NULL DEFAULT 0,
    secrets_set    TEXT    NOT NULL DEFAULT '[]',
    route          TEXT    NOT NULL,
    version        BIGINT  NOT NULL DEFAULT 1,
    created_at     BIGINT  NOT NULL,
    failing_since  BIGINT  NOT NULL DEFAULT 0,
    retry_at       BIGINT  NOT NULL DEFAULT 0,
    failures       INTEGER NOT NULL DEFAULT 0,
    next_report    BIGINT  NOT NULL DEFAULT 0,
    next_ping      BIGINT  NOT NULL DEFAULT 0
);

-- What is to be told and what was: written in the transaction that has something
-- to tell.
CREATE TABLE deliveries (
    id              TEXT PRIMARY KEY,
    channel_id      TEXT    NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    alert_id        TEXT    NOT NULL DEFAULT '',
    kind            TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    subject         TEXT    NOT NULL,
    body            TEXT    NOT NULL,
    held            BOOLEAN NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    error           TEXT    NOT NULL DEFAULT '',
    created_at      BIGINT  NOT NULL,
    next_attempt_at BIGINT  NOT NULL,
    lease_to        BIGINT  NOT NULL DEFAULT 0,
    sent_at         BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE state = 'pending';
CREATE INDEX deliveries_channel ON deliveries (channel_id, created_at, id);
