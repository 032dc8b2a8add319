-- +goose Up
-- What is true of a host's protection, rolled up in the transaction that changes it.
ALTER TABLE hosts ADD COLUMN offers TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN absences TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN protection TEXT NOT NULL DEFAULT 'not_scheduled';
ALTER TABLE hosts ADD COLUMN protection_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN protection_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN protection_schedule TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN breach_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN next_slot BIGINT NOT NULL DEFAULT 0;

ALTER TABLE schedules ADD COLUMN timing_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN claim_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN claim_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN checked_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN next_slot BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN breach_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN missed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN facts TEXT NOT NULL DEFAULT '';
CREATE INDEX schedules_next_slot ON schedules (next_slot) WHERE next_slot > 0;

CREATE TABLE host_days (
    host_id     TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    day         TEXT    NOT NULL,
    succeeded   INTEGER NOT NULL DEFAULT 0,
    warning     INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    missed      INTEGER NOT NULL DEFAULT 0,
    skipped     INTEGER NOT NULL DEFAULT 0,
    other       INTEGER NOT NULL DEFAULT 0,
    bytes_added BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (host_id, day)
);
