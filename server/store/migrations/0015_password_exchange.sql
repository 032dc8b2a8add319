-- +goose Up
-- Of a second password: the key that it opens the repository with, as the job that added it told, and when;
-- and the version that it had while it was the password that hosts use (0: it never was).
ALTER TABLE credentials ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN key_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN former BIGINT NOT NULL DEFAULT 0;

-- Hosts that have not fetched a repository's password since it was exchanged.
CREATE TABLE password_waits (
    repository_id TEXT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    host_id       TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    PRIMARY KEY (repository_id, host_id)
);
CREATE INDEX password_waits_host ON password_waits (host_id);
