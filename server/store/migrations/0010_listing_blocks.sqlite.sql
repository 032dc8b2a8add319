-- +goose Up
-- A pair of files because the two databases name bytes differently. A block is of kind
-- and number as package restic/listing cuts an index.
CREATE TABLE listing_blocks (
    repository_id TEXT    NOT NULL,
    snapshot_id   TEXT    NOT NULL,
    kind          INTEGER NOT NULL,
    number        BIGINT  NOT NULL,
    data          BLOB NOT NULL,
    PRIMARY KEY (repository_id, snapshot_id, kind, number),
    FOREIGN KEY (repository_id, snapshot_id) REFERENCES listings (repository_id, snapshot_id) ON DELETE CASCADE
);
