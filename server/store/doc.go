// Package store keeps the nouns of fleet in SQLite or PostgreSQL. All of the
// server's SQL is here, one file per noun, one text for both databases.
//
// Reads hang on Queries, which Store and Tx embed: what is read outside of a
// transaction is read by the same method inside one. Changes hang on Tx alone, so
// none can be made outside of the three ways in:
//
//	Update  an audited change: its entry is written in the same transaction
//	Write   what is no person's doing: reports, leases, sign-ins
//	View    several reads of one moment
//
// Transactions of SQLite are queued behind one connection and committed in
// groups; PostgreSQL runs each on its own and again when it has to. So a function
// given to Update or Write has no effect but through its Tx, waits for nothing and
// may be run more than once. A statement that fails ends its transaction in both
// databases; what may be there already is written with ON CONFLICT.
//
// What a transaction changed is told with Tx.Touch and Tx.Wake, and reaches the
// listener of OnCommit after the commit, never from within.
//
// Times come from Tx.Now, once per transaction. Errors carry fleet's codes, taken
// from SQLSTATE and SQLite's extended codes, never from a driver's text.
//
// Lists are paged by key: a Page goes in, the items and the token of the next page
// come out.
//
// It may import fleet and restic; with agent/spool it is all that imports
// database/sql and drivers.
package store
