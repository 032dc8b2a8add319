// Package runner executes one job at a time: it decides whether this host does it
// at all, waits until nothing is in the way, carries out the operation's recipe and
// writes down how it ended.
//
// # Vocabulary
//
//   - A recipe is how an operation is done: several restic processes in order, with
//     the facts checked that an exit code does not prove. [Recipes] lists them; the
//     names are those of restic.Operations.
//   - Admission is the decision. It looks at the host's policy file, at the job's
//     params and at the configuration in force, and starts nothing.
//   - A hold is our own exclusion between the jobs of this host: what changes a
//     repository alone has the repository alone, and a schedule runs once at a time.
//     It is not restic's lock, which holds between hosts.
//   - An Ending is the outcome of a job with the snapshot that it made.
//
// # Order
//
// A job comes here when it is in the journal. Cancelled and overdue jobs end at
// once. Then the policy file is read again, for every job; then the params are
// checked, then the configuration: a backup runs what the schedule in force says,
// never what a job says. A job that came from its schedule's times waits for its turn
// and its window, every job for its holds; then admission is repeated, since hours may
// have passed. Only then is the start recorded, and only after that record
// is on the disk does restic start; the process is recorded before it can touch the
// repository. The result is recorded before Run returns.
//
// # Scripts
//
// A schedule may name scripts of the host: hooks around its backup, and a named source
// in the place of paths. The policy is asked for each at admission, where the backup
// depends on it, and once more when it is its turn. Hooks and backup are one attempt. The
// result is the backup's own; a hook that failed turns a success into a warning, and adds
// words to anything else.
//
// # Ends without a word
//
// When the agent died under a job, what restic was about to say is lost. Recover looks
// for what the job left in the repository or on this host, and gives it the one result
// that it will have. A backup's snapshot is the last thing that restic writes: if one
// with the job's tag is listed, the data is there, and the result is `warning`, since
// nobody knows which files could not be read. It is not `succeeded`, which is restic's
// own word. Without one it is `interrupted`; a planned run that surely left none may have
// another attempt instead. The same look is taken when restic was killed or crashed
// under a living agent.
//
// # Attempts
//
// After a failure that may pass, a schedule may have further attempts: of the same job,
// each with its own start on the disk, and `waiting` in between, with all holds given
// back. Result and records of the job are those of its last attempt. Of the jobs that the
// agent died under, only a slot's that left no snapshot has a further one.
//
// The package may import agent/slot, agent/spool, agent/policy, agent/secret, agent/retention,
// restic and restic/listing. It starts processes through restic alone.
package runner
