// Package schedule is the agent's own cron: it turns the slots of the configuration in
// force into jobs, whether the server is there or not.
//
// # Vocabulary
//
//   - A slot is due when its time has come and it is after the schedule's cursor.
//   - The cursor is how far a schedule's slots are decided: each slot up to it has its
//     job, or will never have one. It is kept with the times that it belongs to, the
//     cron, the zone, and that the schedule fires at all. Other times begin with a
//     cursor of their own, at the moment they came in force; other changes of a
//     schedule leave it.
//   - An absence is a time in which no slot could be fired, with the reason that the
//     agent noticed afterwards.
//   - A claim tells the server how far a schedule is decided.
//
// # What becomes of a slot
//
// A slot that is due gets a job, with the id that slot.JobID gives. The job, its
// `opened` record and the cursor are one write, before anything is started; from there
// on the job goes the way of every other. If a job of the schedule still waits or runs,
// the new one ends in the same write as `skipped`. An id that was used is never used
// again, whatever the clock does.
//
// Of several slots that are due, only the latest can get a job: the others passed while
// nobody could fire. It runs if it is not late, or catches up if its schedule wants
// that. Finding it costs the same for two missed slots as for a million, and missed
// slots make no jobs here: the server makes them from what is claimed.
//
// While the policy file locks the agent nothing fires, and the latest slot waits until
// the lock is gone.
//
// # The clock
//
// Slots are times on the wall, so the wall's clock is what counts, and it is looked at
// every 20 seconds, since timers stand still while a machine sleeps. When it was put
// back, the cursor goes back with it: slots that had their jobs are known by their ids.
//
// The package may import agent/slot, agent/spool and agent/control.
package schedule
