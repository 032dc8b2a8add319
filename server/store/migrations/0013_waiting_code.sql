-- +goose Up
-- Why a job waits, by a name that does not change with words.
ALTER TABLE jobs ADD COLUMN waiting_code TEXT NOT NULL DEFAULT '';
