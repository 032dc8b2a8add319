-- +goose Up
-- What the dashboard adds up of repositories' health.
ALTER TABLE repositories ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN source_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN growth_per_day BIGINT NOT NULL DEFAULT 0;
