package restic

import (
	"encoding/json"
	"time"
)

func snapshotsOperation() Operation {
	return Operation{
		Name: "snapshots", Group: GroupLook,
		Title:       "List snapshots",
		Description: "Lists the snapshots in the repository. Changes nothing.",
		Fields:      []Field{repositoryField()},
		Lock:        LockNone,
		Slot:        SlotAppend,
		Places:      []Place{PlaceHost, PlaceMaintenanceHost},
	}
}

// Snapshots lists snapshots: one by its full id, or all that match the filters.
// An unknown ID is the failure snapshot_not_found, although restic ends with 0.
type Snapshots struct {
	ID   string   // 64 hexadecimal digits; not together with Tags or Host
	Tags []string // all of them; our own rm: tags are allowed here
	Host string
}

// Snapshot is a snapshot as the repository has it.
type Snapshot struct {
	ID             string           `json:"id"` // 64 hexadecimal digits
	Time           time.Time        `json:"time"`
	Parent         string           `json:"parent"`
	Tree           string           `json:"tree"`
	Original       string           `json:"original"` // its id before tags were changed
	Host           string           `json:"hostname"`
	User           string           `json:"username"`
	Paths          []string         `json:"paths"`
	Excludes       []string         `json:"excludes"`
	Tags           []string         `json:"tags"`
	ProgramVersion string           `json:"program_version"`
	Summary        *SnapshotSummary `json:"summary"` // absent in snapshots of restic 0.16 and older
}

// SnapshotSummary is the statistics kept in a snapshot.
type SnapshotSummary struct {
	BackupStart         time.Time `json:"backup_start"`
	BackupEnd           time.Time `json:"backup_end"`
	FilesNew            int64     `json:"files_new"`
	FilesChanged        int64     `json:"files_changed"`
	FilesUnmodified     int64     `json:"files_unmodified"`
	DataAdded           int64     `json:"data_added"`
	DataAddedPacked     int64     `json:"data_added_packed"`
	TotalFilesProcessed int64     `json:"total_files_processed"`
	TotalBytesProcessed int64     `json:"total_bytes_processed"`
}

var _ Op[[]Snapshot] = Snapshots{}

// Name returns "snapshots".
func (Snapshots) Name() string { return "snapshots" }

// Validate checks the filters.
func (s Snapshots) Validate() error {
	var errs Errors
	if s.ID != "" && !fullIDPattern.MatchString(s.ID) {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "id", Message: "must be a full snapshot id of 64 hexadecimal digits"})
	}
	if s.ID != "" && (len(s.Tags) > 0 || s.Host != "") {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "id", Message: "cannot be combined with tags or host"})
	}
	for _, tag := range s.Tags {
		if !tagPattern.MatchString(tag) {
			errs = append(errs, tagError())
		}
	}
	if s.Host != "" {
		errs = append(errs, hostErrors(s.Host)...)
	}
	return errs.orNil()
}

func (s Snapshots) plan(Version) plan {
	p := plan{verb: []string{"snapshots"}, reads: true, document: true}
	if len(s.Tags) > 0 {
		p.flags = append(p.flags, "--tag="+joinTags(s.Tags)) // a comma means: all of these
	}
	if s.Host != "" {
		p.flags = append(p.flags, "--host="+s.Host)
	}
	if s.ID != "" {
		p.operands = []string{s.ID}
	}
	return p
}

func (s Snapshots) decode(out *output) ([]Snapshot, error) {
	var list []Snapshot
	if err := json.Unmarshal(out.document, &list); err != nil || list == nil {
		return nil, noResult(s.Name(), "list")
	}
	if s.ID != "" && len(list) == 0 {
		return nil, &Error{
			Code:    CodeSnapshotNotFound,
			Message: "the repository has no snapshot with this id",
			Next:    "choose again from the list of snapshots: this one may have been removed, or its tags changed, which changes the id",
		}
	}
	return list, nil
}
