-- The state database of an agent, version 1. Times are microseconds UTC.

-- Single facts: journal_id, acked_seq, counters, and the agent's small values under "value:".
CREATE TABLE facts (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
);

-- What must not happen twice: commands and jobs that were taken, and cancels by
-- job, which may come before their job does.
CREATE TABLE seen (
	id    TEXT NOT NULL,
	what  TEXT NOT NULL, -- command, job, cancel
	epoch INTEGER NOT NULL,
	at    INTEGER NOT NULL,
	PRIMARY KEY (id, what)
);
CREATE INDEX seen_at ON seen (at);

-- Jobs that are not wholly reported. Memory holds them all, so the row is one document.
CREATE TABLE jobs (
	id  TEXT PRIMARY KEY,
	doc BLOB NOT NULL
);

-- Records that the server has not confirmed.
CREATE TABLE records (
	job_id TEXT NOT NULL,
	stream TEXT NOT NULL, -- events, log
	seq    INTEGER NOT NULL,
	size   INTEGER NOT NULL,           -- of doc and data
	lines  INTEGER NOT NULL DEFAULT 0, -- of a log chunk
	bytes  INTEGER NOT NULL DEFAULT 0, -- of a log chunk, decompressed
	doc    BLOB NOT NULL,
	data   BLOB
);
CREATE UNIQUE INDEX records_by_number ON records (job_id, stream, seq, size);

-- Log lines that are not cut into a chunk yet, as NDJSON.
CREATE TABLE tails (
	job_id TEXT PRIMARY KEY,
	lines  BLOB NOT NULL
);

-- Copies of records that the server refused, for a person to look at.
CREATE TABLE quarantine (
	job_id TEXT NOT NULL,
	stream TEXT NOT NULL,
	seq    INTEGER NOT NULL,
	at     INTEGER NOT NULL,
	reason TEXT NOT NULL,
	doc    BLOB NOT NULL,
	data   BLOB
);
