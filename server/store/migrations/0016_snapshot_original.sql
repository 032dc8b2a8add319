-- +goose Up
-- Of which other snapshot one was made, by its own word.
ALTER TABLE snapshots ADD COLUMN original TEXT NOT NULL DEFAULT '';
