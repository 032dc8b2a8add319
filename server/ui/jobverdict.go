package ui

import (
	"encoding/json"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// verdict compares what a restore planned with what it did.
type verdict struct {
	State    web.State
	Text     string
	Planned  amountOf
	Restored amountOf
	Skipped  int64
	DryRun   bool
	Target   string
	Again    string // the same for real
}

type amountOf struct{ Files, Bytes int64 }

// restoreFacts are the members that the pages for restores read.
type restoreFacts struct {
	TargetPath    string `json:"target_path"`
	PlannedFiles  *int64 `json:"planned_files"`
	PlannedBytes  int64  `json:"planned_bytes"`
	RestoredFiles *int64 `json:"restored_files"`
	RestoredBytes int64  `json:"restored_bytes"`
	SkippedFiles  int64  `json:"skipped_files"`
	Errors        *int64 `json:"errors"`
	Stripped      int64  `json:"stripped"`
	Verified      bool   `json:"verified"`
}

// judged are the facts that a verdict shows by itself.
var judged = []string{"target_path", "planned_files", "planned_bytes", "restored_files", "restored_bytes", "skipped_files"}

// verdictOf judges a restore by its facts alone; nil where a job did not plan to restore
// anything.
func verdictOf(j api.Job) *verdict {
	var f restoreFacts
	if j.Operation != "restore" || j.Outcome == nil || json.Unmarshal(j.Outcome.Facts, &f) != nil || f.PlannedFiles == nil {
		return nil
	}
	var p restoreParams
	_ = json.Unmarshal(j.Params, &p)
	v := &verdict{Planned: amountOf{*f.PlannedFiles, f.PlannedBytes}, Skipped: f.SkippedFiles, DryRun: p.DryRun, Target: f.TargetPath}
	if f.RestoredFiles != nil {
		v.Restored = amountOf{*f.RestoredFiles, f.RestoredBytes}
	}
	lost := v.Planned.Files - v.Restored.Files - v.Skipped
	if f.Errors != nil { // it has the missing ones, and not the device nodes that were taken away
		lost = *f.Errors
	}
	switch {
	case p.DryRun && j.Outcome.Result == api.JobResultWarning:
		v.State = web.State{Tone: web.Warn, Glyph: "warn", Word: "Dry run lacks something"}
		v.Text = "Nothing was written. " + because(j)
		v.Again = "/hosts/" + string(j.HostId) + "/restore?dry=" + string(j.Id)
	case p.DryRun && j.Outcome.Result == api.JobResultSucceeded:
		v.State = web.State{Tone: web.OK, Glyph: "ok", Word: "Dry run agrees"}
		v.Text = "restic would restore " + entries(v.Planned.Files) + ", " + web.Bytes(v.Planned.Bytes) + ". Nothing was written."
		v.Again = "/hosts/" + string(j.HostId) + "/restore?dry=" + string(j.Id)
	case p.DryRun:
		v.State = web.State{Tone: web.Risk, Glyph: "risk", Word: "The dry run failed"}
		v.Text = "Nothing was written. " + because(j)
	case f.RestoredFiles == nil:
		v.State = web.State{Tone: web.Risk, Glyph: "risk", Word: "Not restored"}
		v.Text = entries(v.Planned.Files) + " were planned, and the restore ended before any was counted. " + because(j)
	case lost > 0:
		v.State = web.State{Tone: web.Warn, Glyph: "warn", Word: "Not everything is back"}
		// Not of what was planned: that lacks what is not in the snapshot.
		v.Text = entries(lost) + " of what was chosen could not be restored, as the rows below say."
	case j.Outcome.Result != api.JobResultSucceeded:
		v.State = web.State{Tone: web.Warn, Glyph: "warn", Word: "Look at the result"}
		v.Text = "As much was restored as was planned, and still the job did not end well. " + because(j)
	default:
		v.State = web.State{Tone: web.OK, Glyph: "ok", Word: "Everything is back"}
		v.Text = "As much was restored as was planned."
		if v.Skipped > 0 {
			v.Text = "What was planned is there; " + entries(v.Skipped) + " were left as they were."
		}
		if f.Stripped > 0 {
			v.Text += " Privileges of " + entries(f.Stripped) + " were taken away, each listed below."
		}
		if f.Verified {
			v.Text += " It was read again and is the same as in the snapshot."
		}
	}
	return v
}

// because is what a job says of itself.
func because(j api.Job) string {
	text := capital(strings.TrimSuffix(j.Outcome.Message, "."))
	if text != "" {
		text += "."
	}
	return visible(strings.TrimSpace(text + " " + j.Outcome.NextStep))
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return web.Count(n) + " entries"
}
