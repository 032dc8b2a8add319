// Package retention decides which snapshots of a repository are kept. It is pure: it knows
// neither files nor restic, and the same input gives the same plan.
//
// Whoever has the password of a repository and may add to it can add snapshots of any
// time, host and schedule, so that rules like "the last seven" would choose the good ones
// for removal. So time here is when a snapshot was first seen in the storage, which an
// uploader does not choose, and a snapshot that claims something else is a suspect:
// suspects fill no bucket, count for nothing and are never removed.
//
// What this cannot tell apart is a snapshot that its schedule's own host could have made
// at that very time. Where hosts share a repository, another of them can make one like it:
// the server knows which ids a host has told of, and names the others, which are doubted
// and suspects. Its word can do no more than that. Whoever controls a host decides what its snapshots hold from then on;
// what was there before is kept by the rules' own count of days, and by the floors, which
// ask for no schedule: a server that names others, or none, gets no further.
//
// # Vocabulary
//
//   - first seen: when a snapshot's file appeared in the storage.
//   - candidate: a snapshot of a known schedule that is no suspect.
//   - bucket: an hour, day, week, month or year in the schedule's time zone. A rule keeps
//     the newest candidate of so many of the newest buckets that have one.
//   - series: snapshots that are of one schedule and host by their own tags; those of no
//     schedule, of one host and the same paths. Nobody has to know the schedule.
//   - floor: what the host's own policy keeps of each series, whatever rules, schedules and
//     persons say.
package retention
