// Package spool is what an agent must not forget: one SQLite file in the state
// directory with the commands it took, the jobs it owes a result for and the
// records of those jobs that the server has not confirmed, and beside it
// config.json, the configuration in force.
//
// # Vocabulary
//
//   - The journal is the list of commands that are safely on disk. Its number is
//     the acknowledged sequence; journal_id names the file's life, so that the
//     server notices when it was lost.
//   - A job goes acked → waiting → running → stopping → finished. Each step is on
//     disk before it takes effect: restic is started only after Start returned.
//   - A stream is a job's events or its log, both numbered densely from 1. Events
//     are single records and are never dropped. Log lines are cut into chunks,
//     compressed once and never changed again.
//   - A record is retained until the server says that it has it. What is retained
//     is what is sent: there is no other cursor, so a lost answer costs a repeat.
//   - A gap record stands for records that will never come and counts them.
//   - A job is forgotten when all of it was confirmed; its id is remembered for
//     30 days, so that no command and no slot runs twice.
//
// # When the disk fails
//
// Journal returns its error, the caller does not acknowledge, and the server
// offers again. Jobs go on without the disk: their records wait in memory, are
// reported from there, and are written as soon as the disk takes them. A job that
// the disk knows starts only when the disk knows that it started.
//
// Where the disk refuses already when the spool is opened, all of it lives in memory and
// it takes no commands. Once the disk is back and the server has all, what it remembers
// goes there, and another spool is opened; see GoHome.
//
// A damaged file is moved aside and named in Health; a new journal begins.
//
// The package imports control for the wire types alone; those that a job's
// executor needs have aliases here.
package spool
