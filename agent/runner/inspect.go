package runner

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"restic-manager/agent/retention"
	"restic-manager/agent/spool"
	"restic-manager/agent/upkeep"
	"restic-manager/restic"
)

// inspectFacts are the facts of an inspection.
type inspectFacts struct {
	Files       int64     `json:"files,omitempty"`
	Bytes       int64     `json:"bytes,omitempty"`
	Free        int64     `json:"free_bytes,omitempty"`
	Total       int64     `json:"total_bytes,omitempty"`
	Snapshots   int       `json:"snapshots"`
	Suspects    int       `json:"suspects"`
	Foreign     int       `json:"foreign_objects"`
	Keys        int       `json:"keys"`
	KeyIDs      []string  `json:"key_ids"`
	ForeignKeys int       `json:"foreign_keys"`
	Copies      int       `json:"undo_copies"`
	UndoUntil   time.Time `json:"undo_until,omitzero"`
	Since       time.Time `json:"watched_since,omitzero"`
}

// oddity is a row of an inspection.
type oddity struct {
	Kind    string    `json:"kind"` // foreign, key, suspect
	Object  string    `json:"object"`
	Problem string    `json:"problem"`
	Bytes   int64     `json:"bytes,omitempty"`
	Time    time.Time `json:"time,omitzero"`
}

// runInspect looks at a repository as its maintenance host sees it.
func runInspect(ctx context.Context, t *Task) *Ending {
	o, e := t.look(ctx)
	if e != nil {
		return e
	}
	defer o.close()
	facts := inspectFacts{
		Snapshots: len(o.plan.Decisions), Suspects: len(o.plan.IDs(retention.Suspect)), Copies: len(o.copies), Since: o.ledger.Born,
	}
	if n := len(o.copies); n > 0 {
		facts.UndoUntil = o.copies[n-1].At.AddDate(0, 0, t.reach.rule.UndoDays)
	}
	var odd []oddity
	for _, d := range o.plan.Decisions {
		if d.Verdict == retention.Suspect {
			odd = append(odd, oddity{"suspect", "snapshots/" + d.ID, d.Reasons[0], d.Size, d.FirstSeen.UTC()})
		}
	}
	if o.folder != nil {
		found, e := t.census(ctx, o, &facts)
		if e != nil {
			return e
		}
		odd = append(odd, found...)
	}
	facts.Keys, facts.KeyIDs, facts.ForeignKeys = len(o.keys), keyIDs(o.keys), len(o.foreign)
	return t.tellOdd(ctx, append(odd, foreignKeys(o)...), facts)
}

// census finds the files that restic did not make, or that it cannot read.
func (t *Task) census(ctx context.Context, o *outlook, facts *inspectFacts) ([]oddity, *Ending) {
	census, err := o.folder.Count()
	if err != nil {
		return nil, failed(CodeMaintenanceFolder, err.Error(), "look at the folder's owner and rights on the host")
	}
	facts.Files, facts.Bytes = census.Files, census.Bytes
	if free, total, err := spool.FreeSpace(t.reach.folder()); err == nil {
		facts.Free, facts.Total = free, total
	}
	var odd []oddity
	for _, f := range census.Foreign {
		odd = append(odd, oddity{"foreign", f.Path, f.Problem, f.Size, f.Time.UTC()})
	}
	for _, s := range census.Names["snapshots"] {
		if listed, known := o.listed[path.Base(s.Path)]; known && listed.ID == "" {
			odd = append(odd, oddity{"foreign", s.Path, "it cannot be read with the repository's password", s.Size, s.Time.UTC()})
		}
	}
	closed, e := t.unreadable(ctx, census)
	odd = append(odd, closed...)
	facts.Foreign = len(slices.DeleteFunc(slices.Clone(odd), func(o oddity) bool { return o.Kind != "foreign" }))
	return odd, e
}

// maxOpened is how many files of the index, and how many locks, one inspection opens, the
// newest first: each is a restic of its own.
const maxOpened = 50

// unreadable finds files of the index and locks that the repository's password does not
// open: each keeps restic from working.
func (t *Task) unreadable(ctx context.Context, census upkeep.Census) ([]oddity, *Ending) {
	var odd []oddity
	for _, part := range []string{"index", "locks"} {
		files := slices.Clone(census.Names[part])
		slices.SortFunc(files, func(a, b upkeep.Object) int { return cmp.Compare(b.Time.UnixNano(), a.Time.UnixNano()) })
		for _, f := range files[:min(len(files), maxOpened)] {
			var e *Ending
			if id := path.Base(f.Path); part == "index" {
				_, e = perform(ctx, t, restic.CatIndex{ID: id})
			} else {
				_, e = perform(ctx, t, restic.CatLock{ID: id})
			}
			switch {
			case e == nil || e.Code == string(restic.CodeLockNotFound):
			case ctx.Err() != nil:
				return odd, e
			default:
				odd = append(odd, oddity{"foreign", f.Path, "it cannot be read with the repository's password", f.Size, f.Time.UTC()})
			}
		}
	}
	return odd, nil
}

// foreignKeys tells of the keys that were not there at first.
func foreignKeys(o *outlook) []oddity {
	var odd []oddity
	for _, k := range o.keys {
		if slices.Contains(o.foreign, k.ID) {
			odd = append(odd, oddity{Kind: "key", Object: "keys/" + k.ID, Problem: fmt.Sprintf(
				"it was added since this host watches: by %s at %s, as it claims; it opens the repository", clip(k.User, 100), clip(k.Host, 100))})
		}
	}
	return odd
}

func (t *Task) tellOdd(ctx context.Context, odd []oddity, facts inspectFacts) *Ending {
	list := t.rows(ctx)
	for _, o := range odd {
		if list.Add(o) != nil {
			break
		}
	}
	e := outcomeOf("nothing is out of the ordinary")
	if len(odd) > 0 {
		what := fmt.Sprintf("%d foreign files, %d keys that were added, %d suspect snapshots", facts.Foreign, facts.ForeignKeys, facts.Suspects)
		w := end(spool.Warning, CodeForeignObjects, what,
			"look at the list; as root on the maintenance host, foreign files can be put aside: restic-manager-agent storage quarantine --path "+
				cmp.Or(t.reach.folder(), "FOLDER")+" FILE…, and a key that you have added yourself accepted: restic-manager-agent storage accept-key ID; "+
				"one that you have not can be removed (key-remove), but whoever added it has read what opens the repository")
		e = &w
	}
	e.facts(facts)
	return list.into(e)
}
