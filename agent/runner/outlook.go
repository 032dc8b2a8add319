package runner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"restic-manager/agent/policy"
	"restic-manager/agent/retention"
	"restic-manager/agent/upkeep"
	"restic-manager/restic"
)

// Codes of what a maintenance host finds.
const (
	CodeLedgerDamaged         = "ledger_damaged"
	CodeRetentionFloor        = "retention_below_floor"
	CodeForgetIncomplete      = "forget_incomplete"
	CodePruneUnverified       = "prune_blocked_unverified"
	CodePruneNoUndo           = "prune_blocked_no_undo"
	CodePruneDamaged          = "prune_left_damage"
	CodeForeignObjects        = "repository_foreign_object"
	CodeMaintenanceFolder     = "maintenance_folder"
	CodeMaintenanceFolderGone = "maintenance_folder_gone" // this host has seen the repository there before
)

// outlook is what a maintenance job knows before it changes anything.
type outlook struct {
	id     string // restic's
	ledger *upkeep.Ledger
	folder *upkeep.Folder // nil where the repository is not in a folder here
	listed map[string]restic.Snapshot
	plan   retention.Plan
	names  map[string]string // of schedules
	copies []upkeep.Copy

	keys    []restic.Key
	foreign []string // ids of those keys that were added since this host watches
}

// look opens the repository and its ledger, records what is new, and plans. What is wrong
// with the ledger ends the job: without it nobody knows what is good.
func (t *Task) look(ctx context.Context) (*outlook, *Ending) {
	config, e := t.pinned(ctx)
	if e != nil {
		return nil, e
	}
	o := &outlook{id: config.ID, listed: map[string]restic.Snapshot{}, names: map[string]string{}}
	if e := t.lookInto(ctx, o); e != nil {
		o.close()
		return nil, e
	}
	t.think(o)
	return o, nil
}

// lookInto opens the folder, which keeps others from the ledger too, and reads both.
func (t *Task) lookInto(ctx context.Context, o *outlook) *Ending {
	if path := t.reach.folder(); path != "" {
		var e *Ending
		if o.folder, e = t.openFolder(path); e != nil {
			return e
		}
	}
	var err error
	if o.ledger, err = t.openLedger(o.id); err != nil { //guard:ledger-damaged
		return ledgerTrouble(err)
	}
	if e := t.see(ctx, o); e != nil {
		return e
	}
	if o.folder != nil {
		t.lookAside(o)
	}
	return t.watchKeys(ctx, o)
}

// openFolder opens the repository's folder. While somebody else is at work in it the job
// waits, as for a lock.
func (t *Task) openFolder(path string) (*upkeep.Folder, *Ending) {
	folder, err := upkeep.OpenFolder(path, t.access.RunAs)
	if errors.Is(err, upkeep.ErrBusy) {
		return nil, failed(string(restic.CodeRepoLocked), err.Error(), "wait until it has ended: restic-manager-agent storage, or a job of this host")
	}
	if err != nil {
		return nil, failed(CodeMaintenanceFolder, err.Error(), "look at the folder's owner and rights on the host")
	}
	return folder, nil
}

// lookAside removes the undo copies that are over, and lists the others.
func (t *Task) lookAside(o *outlook) {
	if _, err := o.folder.Expire(func(c upkeep.Copy) bool { return t.over(o.ledger, c) }); err != nil {
		t.Note(err.Error())
	}
	var err error
	if o.copies, err = o.folder.Copies(); err != nil {
		t.Note(err.Error())
	}
}

// over reports whether an undo copy has had its days: by the clock, and by as many days on
// which this host has looked at the repository since. The clock alone may have jumped.
func (t *Task) over(l *upkeep.Ledger, c upkeep.Copy) bool {
	days := t.reach.rule.UndoDays
	if l.DaysSince(c.At) < days { //guard:undo-days
		return false
	}
	return c.At.Before(t.runner.now().AddDate(0, 0, -days))
}

func (t *Task) openLedger(id string) (*upkeep.Ledger, error) {
	return upkeep.OpenLedger(t.runner.keepsake, id)
}

func (o *outlook) close() {
	if o.folder != nil {
		o.folder.Close()
	}
}

func ledgerTrouble(err error) *Ending {
	var damaged *upkeep.Damaged
	if errors.As(err, &damaged) {
		return failed(CodeLedgerDamaged, damaged.Error()+": nothing is removed, since nobody knows when the snapshots were first seen",
			"find out what changed the file; to begin anew with what is in the repository now, as root move it away: "+filepath.Base(damaged.Path))
	}
	return failed(CodeLedgerDamaged, err.Error(), "make room on the agent's disk, or look at its rights")
}

// see lists the snapshots and records those that are new.
func (t *Task) see(ctx context.Context, o *outlook) *Ending {
	listing, e := perform(ctx, t, restic.Snapshots{})
	if e != nil {
		return e
	}
	for _, s := range listing.Value {
		o.listed[s.ID] = s
	}
	files := map[string]time.Time{}
	if o.folder != nil {
		var err error
		if files, err = o.folder.SnapshotFiles(); err != nil {
			return failed(CodeMaintenanceFolder, err.Error(), "look at the folder's owner and rights on the host")
		}
	}
	var sightings []upkeep.Sighting
	for id, s := range o.listed {
		sightings = append(sightings, upkeep.Sighting{ID: id, Claimed: s.Time, File: files[id]})
	}
	for id, at := range files {
		if _, read := o.listed[id]; !read {
			sightings = append(sightings, upkeep.Sighting{ID: id, File: at})
		}
	}
	slices.SortFunc(sightings, func(a, b upkeep.Sighting) int { return strings.Compare(a.ID, b.ID) })
	var err error
	err = t.settle(o.ledger, listing.Value) //guard:replace-later
	if err == nil {
		err = o.ledger.See(t.runner.now(), sightings)
	}
	if err != nil {
		return ledgerTrouble(err)
	}
	for id := range files {
		if _, read := o.listed[id]; !read {
			o.listed[id] = restic.Snapshot{}
		}
	}
	return nil
}

// watchKeys compares the keys with those that were there at first: whoever added one opens
// the repository for ever. Every job that looks says so.
func (t *Task) watchKeys(ctx context.Context, o *outlook) *Ending {
	keys, e := perform(ctx, t, restic.ListKeys{})
	if e != nil {
		return e
	}
	foreign, err := t.seeKeys(o.ledger, keys.Value)
	if err != nil {
		return ledgerTrouble(err)
	}
	o.keys, o.foreign = keys.Value, foreign
	if len(foreign) > 0 && t.Operation.Name != "inspect" {
		t.Note(fmt.Sprintf("%s to the repository since this host watches it, and opens it; order inspect, which names whose", counted(int64(len(foreign)), "key was added", "keys were added")))
	}
	return nil
}

// seeKeys lists the keys that were neither there at first nor accepted by root since.
func (t *Task) seeKeys(ledger *upkeep.Ledger, keys []restic.Key) ([]string, error) {
	accepted, err := upkeep.AcceptedKeys(t.runner.keepsake)
	if err != nil {
		return nil, err
	}
	var all, fine []string
	for _, k := range keys {
		if all = append(all, k.ID); accepted[k.ID] { //guard:key-accepted
			fine = append(fine, k.ID)
		}
	}
	foreign, err := ledger.SeeKeys(t.runner.now(), all, false) // the first look knows them all
	if err == nil && len(fine) > 0 {
		_, err = ledger.SeeKeys(t.runner.now(), fine, true)
		foreign = slices.DeleteFunc(foreign, func(id string) bool { return accepted[id] })
	}
	return foreign, err
}

// think makes the plan.
func (t *Task) think(o *outlook) {
	var schedules []retention.Schedule
	if m := t.Repository.Maintenance; m != nil {
		for _, k := range m.Schedules {
			schedules = append(schedules, retention.Schedule{ID: k.ScheduleID, Host: k.SnapshotHost, Zone: k.Zone, Rules: k.Rules})
			o.names[k.ScheduleID] = k.Name + " of " + k.HostName
		}
	}
	doubted := map[string]bool{}
	for _, id := range t.Params.Strings("doubted") {
		doubted[id] = true
	}
	var snapshots []retention.Snapshot
	for id, s := range o.listed {
		seen := o.ledger.Snapshots[id]
		one := retention.Snapshot{
			ID: id, Claimed: s.Time, FirstSeen: seen.At, Adopted: seen.Adopted, Host: s.Host, Paths: s.Paths,
			Schedule: scheduleOf(s.Tags), Unread: s.ID == "",
			Doubted: doubted[id], //guard:outlook-doubted
		}
		if s.Summary != nil {
			one.Ended, one.Size = s.Summary.BackupEnd, s.Summary.TotalBytesProcessed
			if begun := s.Summary.BackupStart.Sub(s.Time).Abs(); begun >= time.Hour { //guard:outlook-span
				one.Ended = time.Time{} // it was given another time than that of its making
			}
		}
		snapshots = append(snapshots, one)
	}
	lately := o.ledger.WentLately(t.runner.now(), func(id string) bool { _, there := o.listed[id]; return there })
	o.plan = retention.Make(snapshots, schedules, floorsOf(t.reach.rule), lately, t.runner.now())
}

func floorsOf(rule policy.Maintenance) retention.Floors {
	return retention.Floors{KeepDays: rule.KeepDays, KeepLast: rule.KeepLast, MaxDeleteFraction: rule.MaxDeleteFraction}
}

// scheduleOf is the schedule that a snapshot's tags name; of several, none that is known.
func scheduleOf(tags []string) string {
	found := ""
	for _, tag := range tags {
		if id, ok := strings.CutPrefix(tag, "rm:schedule:"); ok {
			if found != "" && found != id {
				return "several"
			}
			found = id
		}
	}
	return found
}
