-- +goose Up
-- What is past its time is found by when jobs ended. A log goes before its job.
ALTER TABLE jobs ADD COLUMN log_dropped BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX jobs_finished ON jobs (finished_at, id) WHERE state = 'finished';
CREATE INDEX jobs_log_kept ON jobs (finished_at, id) WHERE state = 'finished' AND NOT log_dropped;
