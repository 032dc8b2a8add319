package restic

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The modes of stats.
const (
	StatsRestoreSize     = "restore-size"
	StatsRawData         = "raw-data"
	StatsFilesByContents = "files-by-contents"
	StatsBlobsPerFile    = "blobs-per-file"
)

func statsOperation() Operation {
	return Operation{
		Name: "stats", Group: GroupLook,
		Title:       "Measure",
		Description: "Measures one snapshot or all: what a restore would write, or what the data takes in the repository. Changes nothing.",
		Fields: []Field{
			repositoryField(),
			{
				Name: "mode", Type: FieldString,
				Label: "What to measure", Help: "what a restore would write, or what the data takes in the repository", Default: StatsRestoreSize,
				Options: []Option{
					{StatsRestoreSize, "What a restore would write"}, {StatsRawData, "What is stored"},
					{StatsFilesByContents, "Files, each content once"}, {StatsBlobsPerFile, "Blobs, counted per file"},
				},
			},
			{Name: "snapshot_id", Type: FieldSnapshotID, Label: "Snapshot", Help: "the full id of one snapshot", Default: "all of them"},
		},
		Lock: LockNone, Slot: SlotAppend, Places: []Place{PlaceHost, PlaceMaintenanceHost},
		Facts: []Column{
			{"mode", "Measured", ColumnText},
			{"snapshots_count", "Snapshots", ColumnInt},
			{"total_size", "Size", ColumnBytes},
			{"total_file_count", "Files and folders", ColumnInt},
			{"total_blob_count", "Blobs", ColumnInt},
			{"total_uncompressed_size", "Size before compression", ColumnBytes},
			{"compression_ratio", "Compression ratio", ColumnText},
			{"compression_progress", "Part that is compressed", ColumnShare},
			{"compression_space_saving", "Saved by compression", ColumnShare},
		},
	}
}

// Stats measures snapshots. Of one that does not exist it is the failure
// snapshot_not_found, although restic ends with 0.
type Stats struct {
	Mode       string // one of the Stats values
	SnapshotID string // 64 hexadecimal digits; "" for all
}

// StatsResult is what restic measured; which members are set depends on the mode.
type StatsResult struct {
	Size             int64    `json:"total_size"`
	Files            int64    `json:"total_file_count"` // folders too, in restore-size
	Blobs            int64    `json:"total_blob_count"`
	Snapshots        int64    `json:"snapshots_count"`
	UncompressedSize int64    `json:"total_uncompressed_size"`
	Ratio            *float64 `json:"compression_ratio"`
	Progress         *float64 `json:"compression_progress"`     // percent
	Saving           *float64 `json:"compression_space_saving"` // percent
}

var _ Op[StatsResult] = Stats{}

// Name returns "stats".
func (Stats) Name() string { return "stats" }

// Validate checks the mode and the id.
func (s Stats) Validate() error {
	var errs Errors
	switch s.Mode {
	case StatsRestoreSize, StatsRawData, StatsFilesByContents, StatsBlobsPerFile:
	default:
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "mode", Message: "is not one of " + strings.Join([]string{StatsRestoreSize, StatsRawData, StatsFilesByContents, StatsBlobsPerFile}, ", ")})
	}
	if s.SnapshotID != "" && !fullIDPattern.MatchString(s.SnapshotID) {
		errs = append(errs, notFullID("snapshot_id"))
	}
	return errs.orNil()
}

func (s Stats) plan(Version) plan {
	p := plan{verb: []string{"stats"}, flags: []string{"--mode=" + s.Mode}, reads: true, document: true, deadline: longDeadline}
	if s.SnapshotID != "" {
		p.operands = []string{s.SnapshotID}
	}
	return p
}

func (s Stats) decode(out *output) (StatsResult, error) {
	var m struct {
		StatsResult
		Snapshots *int64 `json:"snapshots_count"`
	}
	if json.Unmarshal(out.document, &m) != nil || m.Snapshots == nil {
		return StatsResult{}, noResult(s.Name(), "numbers")
	}
	m.StatsResult.Snapshots = *m.Snapshots
	if s.SnapshotID != "" && m.StatsResult.Snapshots != 1 { //guard:stats-nothing
		return StatsResult{}, failureOf(CodeSnapshotNotFound)
	}
	return m.StatsResult, nil
}

// RatioText is the compression ratio as restic prints it, "" where it was not measured.
func (r StatsResult) RatioText() string {
	if r.Ratio == nil {
		return ""
	}
	return fmt.Sprintf("%.2fx", *r.Ratio)
}
