-- +goose Up
-- What was made of a snapshot, which a listing asks of each that has gone.
CREATE INDEX snapshots_original ON snapshots (repository_id, original) WHERE original <> '';
