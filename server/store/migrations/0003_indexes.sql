-- +goose Up
-- What is asked while the history grows: the jobs that have not ended, of a host and
-- of all; the snapshots of one repository in order.
CREATE INDEX jobs_host_active ON jobs (host_id, created_at, id) WHERE state <> 'finished';
CREATE INDEX jobs_active_created ON jobs (created_at, id) WHERE state <> 'finished';
CREATE INDEX snapshots_repository ON snapshots (repository_id, time_at, id);
