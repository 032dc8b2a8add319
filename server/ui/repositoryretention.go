package ui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// planned is a row of what retention would do: one snapshot.
type plannedRow struct {
	SnapshotID string    `json:"snapshot_id"`
	Verdict    string    `json:"verdict"`
	Reasons    []string  `json:"reasons"`
	FirstSeen  time.Time `json:"first_seen"`
	Time       time.Time `json:"time"`
	Host       string    `json:"host"`
	ScheduleID string    `json:"schedule_id"`
	Schedule   string    `json:"schedule"`
	Bytes      int64     `json:"bytes"`

	State web.State `json:"-"`
	Href  string    `json:"-"`
	Odd   bool      `json:"-"` // it claims another day than it was first seen on
}

// verdicts are what becomes of a snapshot, in the order in which a person looks.
var verdicts = []struct {
	name, label string
	look        web.State
}{
	{"remove", "Would go", web.State{Tone: web.Idle, Glyph: "cancel", Word: "Would go"}},
	{"later", "Later", web.State{Tone: web.Warn, Glyph: "wait", Word: "Goes later"}},
	{"suspect", "Odd", web.State{Tone: web.Warn, Glyph: "warn", Word: "Odd, kept"}},
	{"keep", "Kept", web.State{Tone: web.OK, Glyph: "ok", Word: "Kept"}},
}

// plannedSchedule sums up what would become of a schedule's snapshots.
type plannedSchedule struct {
	Host, Schedule string
	Counts         map[string]int
}

type retentionView struct {
	repositoryFrame
	Job      *api.Job // the last preview; nil: there was none
	Look     web.State
	Active   bool
	Facts    []web.Fact
	Sums     []plannedSchedule
	Verdicts []web.Tab
	Rows     []plannedRow
	More     int // rows that are not shown
	Part     bool
	Empty    *web.Empty
}

const (
	mostPlanned = 25 // pages of 200 that are read
	mostShown   = 500
)

// retention shows what the last preview said would be kept and removed.
func (u *UI) retention(v *visit) error { return v.showRetention(http.StatusOK, nil) }

func (v *visit) showRetention(status int, refused *web.Banner) error {
	frame, err := v.repositoryFrame("Retention")
	if err != nil {
		return err
	}
	frame.Refused = refused
	view := retentionView{repositoryFrame: frame}
	if view.Job, err = v.lastPreview(frame.Repository); err != nil {
		return err
	}
	if j := view.Job; j != nil {
		view.Look, view.Active = jobState(string(j.State), result(*j)), j.State != api.JobStateFinished
		if err := v.fillPlanned(&view); err != nil {
			return err
		}
	} else {
		view.Empty = &web.Empty{Title: "Nothing was previewed yet", Text: "A preview asks the maintenance host what retention would keep and remove, and why. It removes nothing."}
	}
	return v.show(status, "repository-retention", view)
}

// lastPreview finds the newest job that only planned, however many have thinned out since.
func (v *visit) lastPreview(r api.Repository) (found *api.Job, err error) {
	err = everything(url.Values{"repository_id": {string(r.Id)}, "operation": {"retention"}}, func(q url.Values) (string, error) {
		page, err := get[api.JobPage](v, "/api/v1/jobs", q)
		if err != nil {
			return "", err
		}
		i := slices.IndexFunc(page.Jobs, func(j api.Job) bool {
			var params struct {
				DryRun bool `json:"dry_run"`
			}
			return j.Operation == "retention" && json.Unmarshal(j.Params, &params) == nil && params.DryRun
		})
		if i < 0 {
			return page.NextPageToken, nil
		}
		found = &page.Jobs[i]
		return "", nil
	})
	return found, err
}

func (v *visit) fillPlanned(view *retentionView) error {
	rows, all, err := v.plannedRows(view.Job.Id)
	if err != nil {
		return err
	}
	view.Part = !all
	counts, bytes := map[string]int{}, int64(0)
	for i := range rows {
		counts[rows[i].Verdict]++
		if rows[i].Verdict == "remove" {
			bytes += rows[i].Bytes
		}
	}
	view.Sums = sumSchedules(rows)
	show := v.query("show")
	if show == "" && counts["remove"] > 0 {
		show = "remove"
	}
	at := view.Prefix + "/retention?show="
	for _, x := range verdicts {
		if counts[x.name] > 0 || x.name == "remove" {
			view.Verdicts = append(view.Verdicts, web.Tab{Label: x.label, Href: at + x.name, Count: strconv.Itoa(counts[x.name]), Current: show == x.name})
		}
	}
	view.Verdicts = append(view.Verdicts, web.Tab{Label: "All", Href: at + "all", Count: strconv.Itoa(len(rows)), Current: show == "" || show == "all"})
	for _, r := range rows {
		if fullID(r.SnapshotID) {
			r.Href = view.Prefix + "/snapshots/" + r.SnapshotID
		}
		switch {
		case show != "" && show != "all" && r.Verdict != show:
		case len(view.Rows) >= mostShown:
			view.More++
		default:
			view.Rows = append(view.Rows, r)
		}
	}
	view.Facts = plannedFacts(view.Job, counts)
	return nil
}

// plannedRows reads what a preview said; all is false where it said more than is read.
func (v *visit) plannedRows(job api.Id) (rows []plannedRow, all bool, err error) {
	q := url.Values{"page_size": {"200"}}
	for range mostPlanned {
		page, ok, err := part[api.RowPage](v, "/api/v1/jobs/"+string(job)+"/rows", q)
		if err != nil || !ok {
			return rows, true, err
		}
		for _, text := range page.Rows {
			var r plannedRow
			if err := json.Unmarshal(text, &r); err != nil {
				continue // of an agent that says it in another way; the job's page shows it
			}
			r.decorate()
			rows = append(rows, r)
		}
		if page.NextPageToken == "" {
			return rows, true, nil
		}
		q.Set("page_token", page.NextPageToken)
	}
	return rows, false, nil
}

func (r *plannedRow) decorate() {
	r.State = web.State{Tone: web.Idle, Glyph: "idle", Word: visible(r.Verdict)}
	for _, x := range verdicts {
		if r.Verdict == x.name {
			r.State = x.look
		}
	}
	if d := r.Time.Sub(r.FirstSeen); !r.Time.IsZero() && !r.FirstSeen.IsZero() {
		r.Odd = d > dayLong || d < -dayLong
	}
}

// fullID tells whether it is a snapshot's id, which may be put into an address.
func fullID(id string) bool {
	return len(id) == 64 && strings.Trim(id, "0123456789abcdef") == ""
}

func sumSchedules(rows []plannedRow) (list []plannedSchedule) {
	at := map[[2]string]int{}
	for _, r := range rows {
		key := [2]string{r.Host, r.Schedule}
		i, ok := at[key]
		if !ok {
			i = len(list)
			at[key] = i
			list = append(list, plannedSchedule{Host: r.Host, Schedule: r.Schedule, Counts: map[string]int{}})
		}
		list[i].Counts[r.Verdict]++
	}
	return list
}

func plannedFacts(j *api.Job, counts map[string]int) []web.Fact {
	if j.Outcome == nil {
		return nil
	}
	var f struct {
		Snapshots int64   `json:"snapshots"`
		KeepDays  int     `json:"keep_days"`
		KeepLast  int     `json:"keep_last"`
		Fraction  float64 `json:"max_delete_fraction"`
		By        string  `json:"first_seen_by"`
	}
	if len(j.Outcome.Facts) > 0 && json.Unmarshal(j.Outcome.Facts, &f) != nil {
		return nil
	}
	limits := web.Fact{Term: "The host's own limits", Big: "–", Note: "not told"}
	if f.Fraction > 0 {
		limits.Big, limits.Note = percent(f.Fraction)+" a run", fmt.Sprintf("nothing of the last %d days, nor the last %d of a schedule", f.KeepDays, f.KeepLast)
	}
	gone := web.Fact{Term: "Would go", Big: strconv.Itoa(counts["remove"])}
	if n := counts["later"]; n > 0 {
		gone.Note = fmt.Sprintf("%d more in later runs", n)
	}
	return []web.Fact{gone, {Term: "Kept", Big: strconv.Itoa(counts["keep"])}, {Term: "Odd", Big: strconv.Itoa(counts["suspect"]), Note: "in themselves, or told of by no host; kept, and they fill no place of a good one"}, limits}
}
