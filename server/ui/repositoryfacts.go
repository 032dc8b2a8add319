package ui

import (
	"slices"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// repositoryFacts are the numbers of a repository, in rows of four.
func repositoryFacts(r api.Repository, locksSeen, now time.Time) []web.Fact {
	h := healthNow(r)
	unknown := func(f web.Fact, known bool) web.Fact {
		if !known {
			f.Big, f.Note = "–", "not known yet"
		}
		return f
	}
	measured := sizeKnown(r)
	stored := unknown(web.Fact{Term: "Stored", Big: web.Bytes(h.StoredBytes), Note: "measured " + web.Relative(h.MeasuredAt, now)}, measured)
	saved := web.Fact{Term: "Smaller than its source"}
	if measured && h.SourceBytes > 0 && h.StoredBytes > 0 {
		saved.Big, saved.Note = times(h.SourceBytes, h.StoredBytes), web.Bytes(h.SourceBytes)+" in all snapshots"
		if h.PlainBytes > 0 {
			saved.Note += ": " + times(h.SourceBytes, h.PlainBytes) + " by deduplication, " + times(h.PlainBytes, h.StoredBytes) + " by compression"
		}
	}
	saved = unknown(saved, saved.Big != "")
	snapshots := web.Fact{Term: "Snapshots", Big: web.Count(int64(r.Snapshots)), Note: plural(r.Hosts, "host", "hosts") + ", " + plural(r.Schedules, "schedule", "schedules")}
	if !r.LastSnapshotAt.IsZero() {
		snapshots.Note += "; the last " + web.Relative(r.LastSnapshotAt, now)
	}
	read := unknown(web.Fact{Term: "Data read by checks", Big: percent(h.ReadShare), Note: "within 35 days"}, h.LastCheck != nil || !h.LastGoodCheckAt.IsZero())
	undo := lastly(h.LastPrune, h.NextPruneAt, now)
	if h.UndoUntil.After(now) {
		undo.Note = "can be undone until " + h.UndoUntil.UTC().Format("2 Jan")
	}
	undo.Term = "Space reclaimed"
	thinned, check := lastly(h.LastRetention, h.NextRetentionAt, now), lastly(h.LastCheck, h.NextCheckAt, now)
	thinned.Term, check.Term = "Thinned out", "Checked"
	if r.Maintenance.HostId == "" { // the plan passes over what deletes
		thinned.Note, undo.Note = "nobody maintains it", "nobody maintains it"
	}
	if r.State != api.RepositoryStateReady {
		check.Note, thinned.Note, undo.Note = notBefore, notBefore, notBefore
	}
	odd, foreign := foundFacts(h)
	return []web.Fact{stored, saved, growthFact(h, now), snapshots, check, read, thinned, undo, lockFact(h, locksSeen, now), odd, foreign, deleteFact(r, now)}
}

// notBefore is when something is next at a repository that cannot be used.
const notBefore = "not before it can be used"

// healthNow is what is known of a repository, without what is due next where plans pass
// over it.
func healthNow(r api.Repository) api.RepositoryHealth {
	h := r.Health
	if r.State != api.RepositoryStateReady {
		h.NextCheckAt, h.NextPruneAt, h.NextRetentionAt, h.NextMeasureAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	}
	return h
}

// sizeKnown tells whether the stored size was measured. A look at the folder and a
// measuring of what a restore would write come with a time too, and say nothing of it.
func sizeKnown(r api.Repository) bool {
	return r.Health.StoredBytes > 0 || !r.Health.MeasuredAt.IsZero() && r.Snapshots == 0
}

func growthFact(h api.RepositoryHealth, now time.Time) web.Fact {
	f := web.Fact{Term: "Growth", Big: "–", Note: "not known yet"}
	if h.GrowthBytesPerDay != 0 {
		f.Big, f.Unit, f.Note = web.Bytes(h.GrowthBytesPerDay), "a day", "over the last 30 days"
	}
	switch {
	case !h.FullAt.IsZero():
		f.Note = fullIn(h.FullAt, now)
	case h.TotalBytes > 0:
		f.Note = web.Bytes(h.FreeBytes) + " of " + web.Bytes(h.TotalBytes) + " are free"
	}
	return f
}

// lastly tells when something was done last, and when it is next.
func lastly(job *api.JobBrief, next, now time.Time) web.Fact {
	f := web.Fact{Big: "never", Note: "not planned"}
	if job != nil {
		f.Big = web.Relative(job.At, now)
	}
	if !next.IsZero() {
		f.Note = "next " + web.Due(next, now)
	}
	if job != nil && job.Result != "" && job.Result != "succeeded" {
		f.Note = lower(jobState(string(job.State), string(job.Result)).Word)
	}
	return f
}

func lockFact(h api.RepositoryHealth, seen, now time.Time) web.Fact {
	f := web.Fact{Term: "Locks", Big: "–", Note: "not listed yet"}
	if seen.IsZero() {
		return f
	}
	f.Big, f.Note = "none", "listed "+web.Relative(seen, now)
	if h.Locks > 0 {
		f.Big = web.Count(int64(h.Locks))
	}
	return f
}

// foundFacts tell what looking at the folder found; nobody can look where there is
// none.
func foundFacts(h api.RepositoryHealth) (odd, foreign web.Fact) {
	odd, foreign = web.Fact{Term: "Odd snapshots", Big: "–", Note: "seen where its folder is"}, web.Fact{Term: "Foreign files", Big: "–", Note: "seen where its folder is"}
	if h.InspectJobId != "" || h.Suspects > 0 || h.ForeignObjects > 0 {
		odd.Big, foreign.Big = web.Count(h.Suspects), web.Count(h.ForeignObjects)
		odd.Note, foreign.Note = "in themselves, such as of another time than they claim", "in the folder, not restic's"
	}
	return odd, foreign
}

func deleteFact(r api.Repository, now time.Time) web.Fact {
	f := web.Fact{Term: "Credential on hosts", Big: "–", Note: "not tried yet"}
	ours := slices.DeleteFunc(slices.Clone(r.Credentials), func(c api.CredentialInfo) bool { return c.Slot != "append" })
	if len(ours) == 0 {
		f.Big, f.Note = "none", ""
	}
	for _, c := range ours {
		switch c.CanDelete {
		case "no":
			f.Big, f.Note = "cannot delete", "an agent tried"
		case "yes":
			f.Big, f.Note = "can delete", "backups are at risk"
		}
	}
	if t := r.Health.AppendProvenAt; !t.IsZero() && f.Big != "can delete" {
		f.Big, f.Note = "cannot delete", "proven "+web.Relative(t, now)
	}
	return f
}
