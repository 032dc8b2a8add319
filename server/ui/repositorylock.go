package ui

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// lockRow is a lock, who holds it, and what may be done about it.
type lockRow struct {
	api.RepositoryLock
	State  web.State
	May    string
	Remove *doing
	Dialog *web.Dialog
}

// lockView is the locks of a repository as they were last listed.
type lockView struct {
	Known  bool
	SeenAt time.Time
	Rows   []lockRow
}

func (v *visit) locksOf(r api.Repository) (lockView, error) {
	list, ok, err := part[api.LockList](v, "/api/v1/repositories/"+string(r.Id)+"/locks", nil)
	view := lockView{Known: ok, SeenAt: list.SeenAt}
	for _, l := range list.Locks {
		view.Rows = append(view.Rows, lockRowOf(r, l, v.u.now()))
	}
	return view, err
}

// lockStale is how long a lock was not refreshed that agents let a person remove.
const lockStale = 30 * time.Minute

func lockRowOf(r api.Repository, l api.RepositoryLock, now time.Time) lockRow {
	row := lockRow{RepositoryLock: l, State: web.State{Tone: web.Idle, Glyph: "lost", Word: "Not known"}, May: "Nothing: it goes when its job ends."}
	switch l.Alive {
	case api.RepositoryLockAliveYes:
		row.State = web.State{Tone: web.Run, Glyph: "run", Word: "Alive"}
	case api.RepositoryLockAliveNo:
		row.State = web.State{Tone: web.Risk, Glyph: "none", Word: "Dead"}
	}
	send := []web.Hidden{{Name: "lock", Value: l.Id}}
	switch l.Removable {
	case api.ByRule:
		row.May = "Its process is proven dead: the agent there removes it by itself."
		row.Remove = &doing{Label: "Remove now", Action: at(r, "/unlock"), Hidden: send, Need: "operator"}
	case api.Typed:
		if stale := l.CreatedAt.Add(lockStale); now.Before(stale) {
			row.May = "Nobody knows whether its process lives. If it is not refreshed until then, it can be removed " + web.Relative(stale, now) + "."
			break
		}
		id := "unlock-" + short(l.Id)
		row.May = "Nobody knows whether its process lives."
		row.Remove = &doing{Label: "Remove…", Dialog: id, Need: "operator"}
		row.Dialog = &web.Dialog{ID: id, Title: "Remove this lock?", Danger: true, Action: at(r, "/unlock"), Confirm: "Remove the lock", Keep: "Keep it", Typed: string(r.Name), Hidden: append(send, web.Hidden{Name: "force", Value: "true"}),
			Text: "The lock " + short(l.Id) + " of " + visible(l.Username+"@"+l.Hostname) + ", process " + web.Count(int64(l.Pid)) + ". If that process still runs, what it writes may be lost, and a prune beside it can damage the repository. Look at that machine first."}
	}
	return row
}

// unlock removes one lock: by the agent of the machine that made it, which looks again
// whether its owner is dead, or at the maintenance host when a person has typed.
func (u *UI) unlock(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	locks, err := get[api.LockList](v, v.repositoryPath()+"/locks", nil)
	if err != nil {
		return err
	}
	for _, l := range locks.Locks {
		if l.Id != f.raw("lock") {
			continue
		}
		job, err := v.sendUnlock(l, f.checked("force"), f.raw("typed"))
		if err != nil {
			return v.notStarted(err, "unlock", nil)
		}
		return v.goTo("/jobs/" + string(job.Id))
	}
	return v.showRepository(http.StatusConflict, refusal("Nothing to remove", "This lock is gone already."), nil)
}

func (v *visit) sendUnlock(l api.RepositoryLock, force bool, typed string) (api.Job, error) {
	params := map[string]any{"lock_ids": []string{l.Id}}
	if !force && l.HostId != "" {
		return send[api.Job](v, http.MethodPost, "/api/v1/hosts/"+url.PathEscape(string(l.HostId))+"/jobs",
			api.JobCreate{Operation: "unlock", RepositoryId: api.Id(v.param("repository")), Params: raw(params)})
	}
	if force {
		params["force"] = true
	}
	return send[api.Job](v, http.MethodPost, v.repositoryPath()+"/jobs", api.RepositoryJobCreate{Operation: "unlock", Params: raw(params), Confirm: api.Confirm(typed)})
}

// raw writes what cannot fail.
func raw(params map[string]any) api.Params {
	text, err := json.Marshal(params)
	if err != nil {
		panic(err)
	}
	return text
}
