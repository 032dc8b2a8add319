-- +goose Up
-- Rows of a job's result, as the agent compressed them: each chunk is gzip of whole lines.
-- A pair of files because the two databases name bytes differently.
CREATE TABLE row_chunks (
    job_id    TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    offset_at BIGINT  NOT NULL,
    first_row BIGINT  NOT NULL,
    row_count INTEGER NOT NULL,
    data      BYTEA NOT NULL,
    PRIMARY KEY (job_id, first_row)
);
