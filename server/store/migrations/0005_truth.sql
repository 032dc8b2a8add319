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
ALTER TABLE hosts ADD COLUMN unchecked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN away BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX hosts_away ON hosts (contact_deadline) WHERE away;
CREATE INDEX hosts_breach ON hosts (breach_at) WHERE breach_at > 0 AND protection <> 'unprotected';
CREATE INDEX hosts_unjudged ON hosts (id) WHERE protection_since = 0;

ALTER TABLE schedules ADD COLUMN timing_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN timing_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN claim_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN claim_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN checked_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN unchecked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN overdue_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN silent_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN next_slot BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN breach_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN missed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN facts TEXT NOT NULL DEFAULT '';
CREATE INDEX schedules_next_slot ON schedules (next_slot) WHERE next_slot > 0;
CREATE INDEX schedules_unchecked ON schedules (unchecked) WHERE unchecked > 0;
CREATE INDEX schedules_silent ON schedules (silent_from) WHERE silent_from > 0;
CREATE INDEX schedules_breach ON schedules (breach_at) WHERE breach_at > 0;

-- A missed job may stand for further slots of its day.
ALTER TABLE jobs ADD COLUMN more_slots BIGINT NOT NULL DEFAULT 0;

-- What came of a host's backups on a day of UTC, counted in days since 1970.
CREATE TABLE host_days (
    host_id     TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    day         BIGINT  NOT NULL,
    succeeded   BIGINT  NOT NULL DEFAULT 0,
    warning     BIGINT  NOT NULL DEFAULT 0,
    failed      BIGINT  NOT NULL DEFAULT 0,
    missed      BIGINT  NOT NULL DEFAULT 0,
    skipped     BIGINT  NOT NULL DEFAULT 0,
    other       BIGINT  NOT NULL DEFAULT 0,
    bytes_added BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (host_id, day)
);
INSERT INTO host_days (host_id, day, succeeded, warning, failed, missed, skipped, other)
SELECT host_id, finished_at / 86400000000,
    SUM(CASE WHEN result = 'succeeded' THEN 1 ELSE 0 END),
    SUM(CASE WHEN result = 'warning' THEN 1 ELSE 0 END),
    SUM(CASE WHEN result IN ('failed', 'interrupted', 'rejected', 'lost') THEN 1 ELSE 0 END),
    SUM(CASE WHEN result IN ('missed', 'expired') THEN 1 ELSE 0 END),
    SUM(CASE WHEN result = 'skipped' THEN 1 ELSE 0 END),
    SUM(CASE WHEN result = 'cancelled' THEN 1 ELSE 0 END)
FROM jobs WHERE state = 'finished' AND operation = 'backup'
GROUP BY host_id, finished_at / 86400000000;
