// Package agent is the program that runs on every host: it holds a line to the
// server, carries out jobs and tells what came of them.
//
// # Vocabulary
//
//   - A session is one understanding with the server about where both stand. It is
//     opened at each start, and again when the server has forgotten it.
//   - Sync is the parked request. It acknowledges what is in the journal, renews the
//     leases of running jobs, and brings commands, another configuration, directives
//     and hints.
//   - Report carries job records to the server. One is under way at a time.
//   - A directive is what the server wants of one job: that it goes on or stops, how
//     often it is reported, and whether its log travels yet.
//   - The configuration in force is the last one that was understood whole. One that
//     is refused changes nothing, and the server is told why.
//   - The cron, package schedule, makes jobs of the slots of the schedules in force. How
//     far it has come, and when it could not fire, travels with sync.
//   - The vault keeps the secrets that the configuration names, sealed, so that the
//     host works when the server is away.
//
// # What goes on at the same time
//
// [Agent.Run] starts one goroutine each for the cron, for sync, for reports and for
// every job, and waits for all of them. Sync and report share a session; when the server ends it,
// both stop and a new one is opened. Jobs depend on neither: when the server is away
// they run, and their records wait in the spool.
//
// # How it stops
//
// When its context ends, the agent takes no more commands, interrupts the restic of
// each running job and waits for it; those jobs are `interrupted`. Then it reports
// once more and closes its session, for a few seconds at most: what is not delivered
// is in the spool. Jobs that had not started begin when the agent comes back.
//
// A life whose spool is in memory, since the disk was full when it began, ends in the same
// way by itself: when the disk takes the spool again and the server has all that happened,
// and no job is under way. The next life begins at once, from the disk.
//
// The package may import everything below agent/, and restic. The verbs of the
// program that need no running agent (enrol, doctor, the policy file) are here too,
// since cmd/agent only reads arguments and prints.
package agent
