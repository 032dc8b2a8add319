-- +goose Up
-- A pair of files because the two databases name bytes differently.
CREATE TABLE log_chunks (
    job_id     TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq        BIGINT  NOT NULL,
    first_line BIGINT  NOT NULL,
    lines      INTEGER NOT NULL,
    bytes      BIGINT  NOT NULL,
    from_at    BIGINT  NOT NULL,
    to_at      BIGINT  NOT NULL,
    data       BYTEA   NOT NULL,
    PRIMARY KEY (job_id, seq)
);
CREATE INDEX log_chunks_line ON log_chunks (job_id, first_line);

-- Parts of a result that is still coming in.
CREATE TABLE artifact_parts (
    job_id   TEXT   NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name     TEXT   NOT NULL,
    offset_at BIGINT NOT NULL,
    data     BYTEA  NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (job_id, name, offset_at)
);
