package spool

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
)

// How long it is remembered that a command or job was taken.
const (
	seenFor  = 30 * 24 * time.Hour
	seenMost = 10_000
)

// Kinds of commands.
const (
	kindRun    = "run"
	kindCancel = "cancel"
)

// What is remembered of an id.
const (
	seenCommand = "command"
	seenJob     = "job"
	seenCancel  = "cancel"
)

// Journal makes commands durable, all or none, and returns the number to
// acknowledge. received is when the answer that brought them came. Commands that
// are known by number, id or job are skipped, unless a higher epoch permits their
// job anew. A cancel marks its job, whichever of the two comes first. Kinds other
// than run and cancel end at once as rejected. Commands that are against the
// contract are skipped and counted, see Health. Those beyond what may wait here are
// not acknowledged, so that they are offered again.
//
// The numbers may have holes, since the server withdraws commands that it has not
// handed out: whoever gets a number has got all below it that still stand.
func (s *Spool) Journal(ctx context.Context, commands []control.Command, received time.Time) (acked int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.homeless != nil {
		return s.acked, fmt.Errorf("journal %d commands: %w", len(commands), s.homeless)
	}
	d := s.draft(stepJournal)
	d.required = true
	ordered := slices.SortedStableFunc(slices.Values(commands), func(a, b control.Command) int {
		return cmp.Compare(a.Seq, b.Seq)
	})
	room := mostCommanded - s.commanded()
	for _, c := range ordered {
		switch {
		case c.Seq <= d.acked: //guard:command-seq
			continue
		case c.Seq > max(maxSeq, d.acked+maxAhead): //guard:command-maxseq
			d.counts.Malformed.add(s.now())
			continue // no server counts so far, so no server could be told that it was taken
		case len(d.jobs) >= room: //guard:command-room
			continue
		case malformed(c): //guard:command-form
			d.counts.Malformed.add(s.now())
		default:
			if err := d.take(ctx, c, received); err != nil {
				return s.acked, fmt.Errorf("journal command %d: %w", c.Seq, err)
			}
		}
		d.acked = c.Seq
	}
	if d.acked == s.acked && d.counts == s.counts {
		return s.acked, nil
	}
	d.pruneSeen()
	for _, j := range d.jobs {
		d.urgent = d.urgent || j.Phase == Finished
	}
	err = s.commit(ctx, d)
	return s.acked, err
}

// take adds one command to the draft.
func (d *draft) take(ctx context.Context, c control.Command, received time.Time) error {
	if _, known, err := d.seen(ctx, c.Id, seenCommand); err != nil || known { //guard:command-id
		return err
	}
	d.remember(c.Id, seenCommand, c.Epoch)
	switch c.Kind {
	case kindRun:
		return d.takeRun(ctx, c, received)
	case kindCancel:
		if j := d.job(c.JobId); j != nil && c.Epoch >= j.Epoch && j.Phase != Finished {
			j.CancelRequested = true
		}
		d.remember(c.JobId, seenCancel, c.Epoch)
		return nil
	default:
		return d.refuse(ctx, c, received)
	}
}

func (d *draft) takeRun(ctx context.Context, c control.Command, received time.Time) error {
	if j := d.job(c.JobId); j != nil {
		// The server may have lost sight of a job that lives here: it goes on under the new epoch.
		j.Epoch = max(j.Epoch, c.Epoch)
		return nil
	}
	epoch, known, err := d.seen(ctx, c.JobId, seenJob)
	if err != nil || known && epoch >= c.Epoch { //guard:command-job
		return err
	}
	j, err := d.commanded(c, received)
	if err != nil {
		return err
	}
	if len(c.Params) > maxParams { //guard:command-params
		return j.finish(received, control.Outcome{
			Result: Rejected, Code: "params_invalid",
			Message:  fmt.Sprintf("The params are larger than %d bytes.", maxParams),
			NextStep: "Correct the request.",
		}, nil)
	}
	epoch, cancelled, err := d.seen(ctx, c.JobId, seenCancel)
	j.CancelRequested = cancelled && epoch >= c.Epoch
	return err
}

// refuse answers a kind that this agent does not know.
func (d *draft) refuse(ctx context.Context, c control.Command, received time.Time) error {
	message := fmt.Sprintf("This agent does not know commands of kind %q.", cut(c.Kind, maxWord))
	if j := d.job(c.JobId); j != nil {
		return j.event(control.Event{At: received, Kind: eventNote, Message: message})
	}
	if _, known, err := d.seen(ctx, c.JobId, seenJob); err != nil || known {
		return err
	}
	j, err := d.commanded(c, received)
	if err != nil {
		return err
	}
	return j.finish(received, control.Outcome{
		Result: Rejected, Code: "unsupported", Message: message, NextStep: "Update the agent on this host.",
	}, nil)
}

// commanded makes the job of a command.
func (d *draft) commanded(c control.Command, received time.Time) (*job, error) {
	j := newJob(Job{
		ID: c.JobId, Epoch: c.Epoch, WriterID: uuid.NewString(), CommandID: c.Id,
		Operation: cut(c.Operation, maxWord), Trigger: cut(c.Trigger, maxWord),
		OpenedAt: received, Phase: Acked,
	})
	if c.StartWithinS > 0 {
		j.StartBy = received.Add(time.Duration(min(c.StartWithinS, maxStartWithin)) * time.Second)
	}
	if len(c.Params) <= maxParams {
		j.Params = c.Params
		j.refer(c.Params)
	}
	j.Repository = broughtAlong(c.Repository)
	d.add(j)
	return j, j.event(control.Event{At: received, Kind: string(Acked)})
}

// broughtAlong is what a command says of a repository, without what is for maintenance: nil
// for nothing, or for more than anybody needs to say.
func broughtAlong(r Repository) *Repository {
	r.Maintenance = control.AgentMaintenance{}
	if doc, err := json.Marshal(r); r.Id == "" || err != nil || len(doc) > maxParams {
		return nil
	}
	return &r
}

// refer notes what the params name, for `opened`. Params that say nothing of it,
// name it by what is no id, or are no object, are none of the spool's business.
func (j *job) refer(params json.RawMessage) {
	var names struct {
		ScheduleID      string `json:"schedule_id"`
		ScheduleVersion int64  `json:"schedule_version"`
		RepositoryID    string `json:"repository_id"`
	}
	if json.Unmarshal(params, &names) != nil {
		return
	}
	if isID(names.ScheduleID) {
		j.ScheduleID, j.ScheduleVersion = names.ScheduleID, plausible(names.ScheduleVersion)
	}
	if isID(names.RepositoryID) {
		j.RepositoryID = names.RepositoryID
	}
}

// add puts a new job into the draft.
func (d *draft) add(j *job) {
	d.jobs[j.ID] = j
	d.remember(j.ID, seenJob, j.Epoch)
}

// seen tells the highest epoch under which the id was taken.
func (d *draft) seen(ctx context.Context, id, what string) (epoch int64, known bool, err error) {
	for _, unwritten := range []map[taken]int64{d.taken, d.spool.taken} {
		if epoch, known := unwritten[taken{id, what}]; known {
			return epoch, true, nil
		}
	}
	const query = `SELECT epoch FROM seen WHERE id = ? AND what = ?`
	err = d.spool.db.QueryRowContext(context.WithoutCancel(ctx), query, id, what).Scan(&epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return epoch, err == nil, err
}

func (d *draft) remember(id, what string, epoch int64) {
	d.taken[taken{id, what}] = epoch
	d.exec(setSeen, id, what, epoch, d.spool.now().UnixMicro())
}

const setSeen = `INSERT INTO seen (id, what, epoch, at) VALUES (?, ?, ?, ?)
	ON CONFLICT (id, what) DO UPDATE SET epoch = MAX(epoch, excluded.epoch), at = excluded.at`

// pruneSeen forgets what is older than anything that may still be repeated, and
// remembers up to when it has forgotten.
func (d *draft) pruneSeen() {
	before := d.spool.now().Add(-seenFor).UnixMicro()
	d.exec(`INSERT INTO facts (name, value) SELECT ?, latest FROM (SELECT MAX(at) AS latest FROM (
			SELECT at FROM seen WHERE at < ? UNION ALL SELECT at FROM (SELECT at FROM seen ORDER BY at DESC LIMIT -1 OFFSET ?)
		)) WHERE latest IS NOT NULL
		ON CONFLICT (name) DO UPDATE SET value = MAX(value, excluded.value)`, factForgotten, before, seenMost)
	d.exec(`DELETE FROM seen WHERE at < ?`, before)
	d.exec(`DELETE FROM seen WHERE rowid IN (SELECT rowid FROM seen ORDER BY at DESC LIMIT -1 OFFSET ?)`, seenMost)
}

// beyondMemory reports whether a slot is so old that it may have had a job that is
// not remembered any more: the clock was put back by that much.
func (s *Spool) beyondMemory(ctx context.Context, slot time.Time) (bool, error) {
	if slot.IsZero() {
		return false, nil
	}
	text, err := s.fact(context.WithoutCancel(ctx), factForgotten)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	forgotten, err := strconv.ParseInt(string(text), 10, 64)
	return err == nil && slot.UnixMicro() <= forgotten, err
}
