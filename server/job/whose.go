package job

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Whose a snapshot is. Several hosts may share a repository, and each can store there what
// it likes: another's tags, host name, paths and time. So a snapshot is a host's once that
// host itself has told of it: its job's own report names the snapshot's id. Until then it
// is nobody's: it is listed with what it claims, and counts for nothing.

// claims are what snapshots say whose they are.
type claims struct {
	jobs      map[fleet.JobID]*fleet.Job
	schedules map[fleet.ScheduleID]fleet.HostID // of the repository
}

func readClaims(ctx context.Context, q store.Queries, repository fleet.RepositoryID, rows []fleet.Snapshot) (claims, error) {
	c := claims{map[fleet.JobID]*fleet.Job{}, map[fleet.ScheduleID]fleet.HostID{}}
	var ids []fleet.JobID
	for i := range rows {
		if id := claimedJob(&rows[i]); id != "" {
			ids = append(ids, id)
		}
	}
	jobs, err := q.JobsNamed(ctx, ids)
	if err != nil {
		return c, err
	}
	for i := range jobs {
		c.jobs[jobs[i].ID] = &jobs[i]
	}
	schedules, err := q.SchedulesOfRepository(ctx, repository)
	for i := range schedules {
		c.schedules[schedules[i].ID] = schedules[i].HostID
	}
	return c, err
}

// backup is the job that a snapshot claims, where that is a backup into the repository, of
// the host whose schedule it is of; nil for none.
func (c claims) backup(s *fleet.Snapshot) *fleet.Job {
	j := c.jobs[claimedJob(s)]
	if j == nil || j.RepositoryID != s.RepositoryID || j.Operation != OperationBackup { //guard:snapshot-job
		return nil
	}
	if owner, known := c.schedules[j.ScheduleID]; known && owner != j.HostID { //guard:snapshot-owner
		return nil
	}
	return j
}

// attribute says whose the snapshots of a listing are: of the host whose job told of each.
// Whose a known one is stays.
func attribute(ctx context.Context, tx *store.Tx, repository fleet.RepositoryID, rows []fleet.Snapshot) error {
	c, err := readClaims(ctx, tx.Queries, repository, rows)
	if err != nil {
		return err
	}
	for i := range rows {
		row := &rows[i]
		j := c.backup(row)
		if j == nil || j.SnapshotID != row.ID { //guard:snapshot-told
			continue
		}
		row.JobID, row.ScheduleID, row.HostID = j.ID, j.ScheduleID, j.HostID
	}
	return nil
}

// ofAnother tells whether a snapshot that a job reports is listed as one of another host's
// backup: then the report is no proof.
func ofAnother(ctx context.Context, tx *store.Tx, j *fleet.Job, listed *fleet.Snapshot) (bool, error) {
	c, err := readClaims(ctx, tx.Queries, j.RepositoryID, []fleet.Snapshot{*listed})
	if err != nil {
		return false, err
	}
	claimed := c.backup(listed)
	return claimed != nil && claimed.HostID != j.HostID, nil
}

// replacing are the operations that put snapshots in the place of others.
var replacing = []string{"tag", "rewrite", "repair-snapshots"}

const (
	goneAtOnce      = 50  // snapshots whose heirs are looked for together
	mostSuccessors  = 500 // of those; with more, none of them has an heir
	schedulesAtOnce = 100
	mostDoubted     = 1000      // that travel, the last to appear first
	fieldDoubted    = "doubted" // the member of params that names what nobody confirms
)

// inherit gives the snapshots that took the place of others to the hosts of these: a
// listing that is believed no longer has the old one, the maintenance host has been
// replacing some since that was seen, and there is exactly one that was made of it, of the
// same time, host name and job, which nobody saw while the old one was there. What was
// seen before a listing began and is not in it has gone, also where it is shown a while
// longer.
func inherit(ctx context.Context, tx *store.Tx, j *fleet.Job, before fleet.Time) error {
	r, err := tx.Repository(ctx, j.RepositoryID)
	if err != nil {
		return err
	}
	worked, err := tx.LastJobOf(ctx, r.ID, r.MaintenanceHost, replacing)
	if err != nil {
		return err
	}
	before = min(before, worked+1) //guard:snapshot-heir-job
	for after := ""; ; {
		gone, err := tx.UnseenSnapshots(ctx, r.ID, before, after, goneAtOnce)
		if err != nil || len(gone) == 0 {
			return err
		}
		after = gone[len(gone)-1].ID
		heirs, err := heirsOf(ctx, tx, r.ID, gone)
		if err != nil {
			return err
		}
		if err := tx.SeeSnapshots(ctx, heirs); err != nil {
			return err
		}
	}
}

// heirsOf are the snapshots that took the place of others, each with whose that was. Where
// more look like it than are read, there are none.
func heirsOf(ctx context.Context, tx *store.Tx, repository fleet.RepositoryID, gone []fleet.Snapshot) ([]fleet.Snapshot, error) {
	var ids []string
	for i := range gone {
		ids = append(ids, firsts(&gone[i])...)
	}
	successors, err := tx.SuccessorsOf(ctx, repository, ids, mostSuccessors)
	if err != nil {
		return nil, err
	}
	if len(successors) == mostSuccessors { //guard:snapshot-heirs-cut
		return nil, nil
	}
	made := map[string][]*fleet.Snapshot{}
	for i := range successors {
		s := &successors[i]
		made[s.Original] = append(made[s.Original], s)
	}
	var heirs []fleet.Snapshot
	for i := range gone {
		old := &gone[i]
		if heir := heirOf(old, made); heir != nil {
			heir.HostID, heir.ScheduleID, heir.JobID = old.HostID, old.ScheduleID, old.JobID
			heirs = append(heirs, *heir)
		}
	}
	return heirs, nil
}

// firsts are the ids that a successor of a snapshot may name: rewrite and repair name what
// they read, tag what that was first.
func firsts(s *fleet.Snapshot) []string {
	if s.Original == "" {
		return []string{s.ID}
	}
	return []string{s.ID, s.Original}
}

// heirOf is the one snapshot that took the place of another; nil where there is none, or
// more than one that looks like it.
func heirOf(old *fleet.Snapshot, made map[string][]*fleet.Snapshot) *fleet.Snapshot {
	var heirs []*fleet.Snapshot
	for _, first := range firsts(old) {
		for _, s := range made[first] {
			switch {
			case s.Time != old.Time || s.Hostname != old.Hostname || s.HostID != "" || claimedJob(s) != old.JobID: //guard:snapshot-heir-like
			case s.FirstSeen <= old.LastSeen: //guard:snapshot-heir-late
			default:
				heirs = append(heirs, s)
			}
		}
	}
	if len(heirs) != 1 { //guard:snapshot-heirs
		return nil
	}
	return heirs[0]
}

func claimedJob(s *fleet.Snapshot) fleet.JobID {
	return fleet.JobID(ownTag(s.Tags, restic.OwnTags("", "x")))
}

func claimedSchedule(s *fleet.Snapshot) fleet.ScheduleID {
	return fleet.ScheduleID(ownTag(s.Tags, restic.OwnTags("x", "")))
}

// ownTag finds the id in the tag that is made like a sample with the id "x".
func ownTag(tags fleet.List, sample []string) string {
	prefix := strings.TrimSuffix(sample[0], "x")
	for _, tag := range tags.Items() {
		if id, ok := strings.CutPrefix(tag, prefix); ok && uuidForm.MatchString(id) {
			return id
		}
	}
	return ""
}

// findDoubted fills in which snapshots claim a schedule of the repository, although no
// host has told of them: a retention takes none of them for the backup of a day.
func (w *wish) findDoubted(ctx context.Context, tx *store.Tx, op restic.Operation, given map[string]any) error {
	if !takes(op, fieldDoubted) {
		return nil
	}
	if _, named := given[fieldDoubted]; named {
		return fleet.Errorf(fleet.InvalidField, "The server fills this in; leave it out.").At("/params/" + fieldDoubted)
	}
	schedules, err := tx.SchedulesOfRepository(ctx, w.repository.ID)
	if err != nil {
		return err
	}
	var doubted []string
	for some := range slices.Chunk(schedules, schedulesAtOnce) {
		var tags []string
		for i := range some {
			tags = append(tags, restic.OwnTags(string(some[i].ID), "")...)
		}
		ids, err := tx.UnclaimedSnapshots(ctx, w.repository.ID, tags, mostDoubted-len(doubted))
		if err != nil {
			return err
		}
		doubted = append(doubted, ids...)
	}
	if len(doubted) > 0 {
		given[fieldDoubted] = doubted
	}
	return nil
}

// Doubt is whose a snapshot says it is, and why nobody believes it.
type Doubt struct {
	Code, Message string
	Job           fleet.JobID  // one that is known; empty: none
	Host          fleet.HostID // whose job that is
}

// What keeps what a snapshot says from being believed.
const (
	DoubtNoJob    = "job_unknown"      // nobody told of such a backup into this repository
	DoubtNotEnded = "job_not_ended"    // its agent has yet to tell
	DoubtNone     = "job_told_none"    // the job ended and named no snapshot
	DoubtAnother  = "job_told_another" // the job ended and named another one
)

// Doubts tells what is claimed by those of some snapshots that are no host's, by index.
func Doubts(ctx context.Context, q store.Queries, list []fleet.Snapshot) (map[int]Doubt, error) {
	byRepository := map[fleet.RepositoryID][]int{}
	for i := range list {
		if s := &list[i]; s.HostID == "" && s.JobID == "" && (claimedJob(s) != "" || claimedSchedule(s) != "") {
			byRepository[s.RepositoryID] = append(byRepository[s.RepositoryID], i)
		}
	}
	found := map[int]Doubt{}
	for repository, at := range byRepository {
		rows := make([]fleet.Snapshot, len(at))
		for n, i := range at {
			rows[n] = list[i]
		}
		c, err := readClaims(ctx, q, repository, rows)
		if err != nil {
			return nil, err
		}
		for n, i := range at {
			found[i] = c.judge(&rows[n])
		}
	}
	return found, nil
}

func (c claims) judge(s *fleet.Snapshot) Doubt {
	j := c.backup(s)
	doubt := Doubt{Code: DoubtNoJob, Message: "It has tags of this program, and names no backup that a host told of. It counts for nobody."}
	if j == nil {
		return doubt
	}
	doubt.Job, doubt.Host = j.ID, j.HostID
	switch {
	case j.Active() || j.Result.OursToRevise():
		doubt.Code, doubt.Message = DoubtNotEnded, "The backup that it names has not ended, or its agent has not told yet. Until then it counts for nobody."
	case j.SnapshotID == "":
		doubt.Code, doubt.Message = DoubtNone, "The backup that it names ended and told of no snapshot. It counts for nobody; look into it before you rely on it."
	default:
		doubt.Code, doubt.Message = DoubtAnother, fmt.Sprintf("The backup that it names has made another snapshot, %.8s. Somebody else who can write to the repository may have made this one; it counts for nobody.", j.SnapshotID)
	}
	return doubt
}
