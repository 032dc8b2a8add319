-- +goose Up
-- Indexes of snapshots are called so; a listing is of all snapshots of a repository. Both
-- databases have the blocks refer to the renamed table.
ALTER TABLE listings RENAME TO snapshot_indexes;
ALTER TABLE listing_blocks RENAME TO index_blocks;
DROP INDEX listings_used;
CREATE INDEX snapshot_indexes_used ON snapshot_indexes (used_at);
-- Blocks are there that are no part of the index; they are removed in slices.
ALTER TABLE snapshot_indexes ADD COLUMN stale BOOLEAN NOT NULL DEFAULT FALSE;
