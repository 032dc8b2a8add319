package runner

import (
	"context"
	"fmt"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// checkFacts are the facts of a check.
type checkFacts struct {
	Errors             int64 `json:"errors"`
	PacksBroken        int   `json:"packs_broken"`
	SuggestRepairIndex bool  `json:"suggest_repair_index"`
	SuggestPrune       bool  `json:"suggest_prune"`
	ReadData           bool  `json:"read_data"`
	ReadPart           int   `json:"read_part,omitempty"`
	ReadParts          int   `json:"read_parts,omitempty"`
	ReadPercent        int   `json:"read_percent,omitempty"`
	DurationMs         int64 `json:"duration_ms"`
}

// checkRow is one error that a check found.
type checkRow struct {
	PackID string `json:"pack_id,omitempty"`
	Error  string `json:"error"`
}

// runCheck looks for damage. What is found is a failure: a repository that is damaged is no
// success, although restic did what it was to do.
func runCheck(ctx context.Context, t *Task) *Ending {
	if _, e := t.pinned(ctx); e != nil {
		return e
	}
	op := restic.CheckOf(t.Params)
	result, e := perform(ctx, t, op)
	if e != nil {
		return e
	}
	report := result.Value
	rows := t.rows(ctx)
	for _, id := range report.BrokenPacks {
		_ = rows.Add(checkRow{PackID: id, Error: "the pack is damaged"}) // told by into
	}
	for _, text := range report.Errors {
		_ = rows.Add(checkRow{PackID: restic.PackOf(text), Error: text})
	}
	e = outcomeOf("the repository is whole" + readWords(op))
	if !report.Good() || result.ExitCode != 0 { //guard:check-damage
		e = damaged(report)
	}
	e.ResticExitCode = result.ExitCode
	e.facts(checkFacts{
		Errors: report.NumErrors, PacksBroken: len(report.BrokenPacks),
		SuggestRepairIndex: report.SuggestRepairIndex, SuggestPrune: report.SuggestPrune,
		ReadData: op.ReadData, ReadPart: op.Part, ReadParts: op.Parts, ReadPercent: op.Percent,
		DurationMs: result.Finished.Sub(result.Started).Milliseconds(),
	})
	told := rows.into(e)
	if e.Result == spool.Failed && told != e && ctx.Err() == nil {
		e.addMessage("its list of errors could not be handed over")
		return e // what was found matters more than its list
	}
	return told
}

// readWords says how much of the data was read.
func readWords(c restic.Check) string {
	switch {
	case c.ReadData:
		return "; all of its data was read"
	case c.Parts > 0:
		return fmt.Sprintf("; part %d of %d of its data was read", c.Part, c.Parts)
	case c.Percent > 0:
		return fmt.Sprintf("; %d %% of its data were read", c.Percent)
	}
	return ", as far as its lists tell; its data was not read"
}

func damaged(report restic.CheckReport) *Ending {
	message := fmt.Sprintf("the repository is damaged: the check found %d errors", report.NumErrors)
	if report.NumErrors == 1 {
		message = "the repository is damaged: the check found an error"
	}
	if len(report.Errors) > 0 {
		message += " (restic: " + report.Errors[0] + ")"
	}
	next := "do not prune; look at the errors in the result, and read restic's page on troubleshooting before repairing anything"
	if n := len(report.BrokenPacks); n > 0 {
		packs := "the damaged pack"
		if n > 1 {
			packs = fmt.Sprintf("the %d damaged packs", n)
		}
		next = "do not prune; try to get " + packs + " back from a copy of the storage; without one, repair packs at the maintenance host, then back up every host: what they still have is stored again"
	} else if report.LacksData() {
		next = "do not prune; back up every host that uses the repository: what they still have is stored again. What is missing after that is lost: " +
			"repair the snapshots at the maintenance host and have the damaged ones removed"
	} else if report.SuggestRepairIndex {
		next = "do not prune; repair the index at the maintenance host"
	}
	return failed(string(restic.CodeRepoDamaged), message, next)
}
