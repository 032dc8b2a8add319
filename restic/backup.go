package restic

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

func backupOperation() Operation {
	return Operation{
		Name: "backup", Group: GroupMove,
		Title: "Back up",
		Description: "Backs up what a schedule names. What to back up, and where to, is taken from the " +
			"configuration in force at the host, never from the job.",
		Fields: []Field{
			{
				Name: "schedule_id", Type: FieldUUID, Required: true,
				Label: "Schedule", Help: "the id of a schedule of this host",
			},
			{
				Name: "schedule_version", Type: FieldInt, Required: true, Min: 1, Max: 1 << 53,
				Label: "Version of the schedule", Help: "the version that was in force when the job was made",
			},
		},
		Lock:   LockShared,
		Slot:   SlotAppend,
		Places: []Place{PlaceHost, PlaceMaintenanceHost},
	}
}

// previewOperation is an operation of its own, so that nothing ever takes a dry run for a
// backup.
func previewOperation() Operation {
	o := backupOperation()
	o.Name, o.Title = "preview", "Preview a backup"
	o.Description = "Looks what the next backup of a schedule would store, and stores nothing. It is no backup: hooks do not run, and it counts nowhere."
	o.Facts = []Column{
		{"planned_files", "Files", ColumnInt},
		{"planned_bytes", "Their size", ColumnBytes},
		{"new_files", "New files", ColumnInt},
		{"changed_files", "Changed files", ColumnInt},
		{"added_bytes", "Would be added", ColumnBytes},
		{"errors", "Cannot be read", ColumnInt},
	}
	return o
}

// Backup makes a snapshot of Sources. It is a Warning when a snapshot exists but
// something was left out: unreadable items, or sources that do not exist. Without
// a snapshot it is never a success, whatever restic's exit code.
type Backup struct {
	// Sources are absolute paths, taken literally: no pattern in them means
	// anything, and any byte but NUL may be in a name.
	Sources []string

	// Excludes are restic's patterns with restic's meaning: a relative pattern
	// matches anywhere below, an absolute one from the root, * does not cross a
	// separator, ** does, a leading ! includes again. They mean here what they
	// mean after restic's --exclude; environment variables are not replaced.
	Excludes []string

	// Named, if not nil, is backed up instead of Sources and Excludes.
	Named *NamedSource

	Host string   // the snapshot's host name
	Tags []string // the user's tags

	Limits Limits // how fast

	Options BackupOptions

	// Parent is the snapshot that files are compared with, by its full id; empty for the
	// one that restic chooses. With SkipIfUnchanged no snapshot is made that would have
	// the same content.
	Parent string

	DryRun bool // look and compare, and store nothing

	// ScheduleID and JobID become the tags rm:schedule:… and rm:job:…; a user's
	// tag cannot begin like that. Both are UUIDs and may be empty.
	ScheduleID string
	JobID      string
}

// BackupSummary is restic's account of a finished backup.
type BackupSummary struct {
	SnapshotID          string    `json:"snapshot_id"` // 64 hexadecimal digits
	FilesNew            int64     `json:"files_new"`
	FilesChanged        int64     `json:"files_changed"`
	FilesUnmodified     int64     `json:"files_unmodified"`
	DirsNew             int64     `json:"dirs_new"`
	DirsChanged         int64     `json:"dirs_changed"`
	DirsUnmodified      int64     `json:"dirs_unmodified"`
	DataBlobs           int64     `json:"data_blobs"`
	TreeBlobs           int64     `json:"tree_blobs"`
	DataAdded           int64     `json:"data_added"`
	DataAddedPacked     int64     `json:"data_added_packed"`
	TotalFilesProcessed int64     `json:"total_files_processed"`
	TotalBytesProcessed int64     `json:"total_bytes_processed"`
	TotalDuration       float64   `json:"total_duration"` // seconds
	BackupStart         time.Time `json:"backup_start"`
	BackupEnd           time.Time `json:"backup_end"`

	// Unchanged says that no snapshot was made, since it would be the parent again.
	Unchanged bool `json:"-"`
	DryRun    bool `json:"dry_run"`

	// MissingSources did not exist when the backup began.
	MissingSources []string `json:"-"`
}

var _ Op[BackupSummary] = Backup{}

// Name returns "backup".
func (b Backup) Name() string { return dryName("backup", b.DryRun) }

// Validate checks every field; see CheckSource, CheckExclude, CheckTag and
// CheckHost.
func (b Backup) Validate() error {
	var errs Errors
	if b.Named != nil {
		errs = append(errs, b.Named.mistakes(b)...)
	} else if len(b.Sources) == 0 {
		errs = append(errs, &Error{Code: CodeSourceInvalid, Field: "sources", Message: "there is nothing to back up", Next: "add a path"})
	}
	for i, source := range b.Sources {
		errs = append(errs, entryErrors("sources", i, CheckSource(source))...)
	}
	for i, pattern := range b.Excludes {
		errs = append(errs, entryErrors("excludes", i, CheckExclude(pattern))...)
	}
	for i, tag := range b.Tags {
		errs = append(errs, entryErrors("tags", i, CheckTag(tag))...)
	}
	errs = append(errs, hostErrors(b.Host)...)
	errs = append(errs, b.Limits.mistakes()...)
	errs = append(errs, b.Options.errorsFor(b.Named != nil)...)
	if b.Parent != "" {
		errs = append(errs, idErrors("parent", []string{b.Parent})...)
	}
	for _, own := range []struct{ field, id string }{{"schedule_id", b.ScheduleID}, {"job_id", b.JobID}} {
		if own.id != "" && !uuidPattern.MatchString(own.id) {
			errs = append(errs, &Error{Code: CodeFieldInvalid, Field: own.field, Message: "must be a UUID in lower case"})
		}
	}
	return errs.orNil()
}

// OwnTags returns the tags that mark a snapshot as made for a schedule and job.
// Snapshots takes them as a filter.
func OwnTags(scheduleID, jobID string) []string {
	var tags []string
	if scheduleID != "" {
		tags = append(tags, "rm:schedule:"+scheduleID)
	}
	if jobID != "" {
		tags = append(tags, "rm:job:"+jobID)
	}
	return tags
}

func (b Backup) plan(Version) plan {
	p := plan{
		verb:     []string{"backup"},
		flags:    []string{"--host=" + b.Host},
		deadline: noDeadline,
		watched:  true,
		exits:    map[int]exitClass{3: exitWarning},
		named:    b.Named,
	}
	if b.Named == nil {
		p.files = []listFile{{flag: "--files-from-raw", content: sourceList(b.Sources)}}
		p.missing = func() []string { return missingSources(b.Sources) }
	} else {
		p.flags = append(p.flags, "--stdin-from-command", "--stdin-filename="+b.Named.Script.Name)
	}
	if len(b.Excludes) > 0 {
		p.files = append(p.files, listFile{flag: "--exclude-file", content: excludeList(b.Excludes)})
	}
	for _, tag := range append(OwnTags(b.ScheduleID, b.JobID), b.Tags...) {
		p.flags = append(p.flags, "--tag="+tag)
	}
	p.flags = append(p.flags, b.Limits.flags()...)
	p.flags = append(p.flags, b.Options.flags(b.Parent)...)
	if b.DryRun {
		p.flags = append(p.flags, "--dry-run")
	}
	return p
}

// sourceList ends each path with NUL, so that a newline in a name is a newline.
func sourceList(sources []string) []byte {
	var list []byte
	for _, source := range sources {
		list = append(append(list, source...), 0)
	}
	return list
}

// missingSources looks for the sources that do not exist. restic before 0.19
// leaves them out and ends with 0. A source that cannot be looked at for another
// reason is restic's to report.
func missingSources(sources []string) []string {
	var missing []string
	for _, source := range sources {
		if _, err := os.Lstat(source); os.IsNotExist(err) {
			missing = append(missing, source)
		}
	}
	return missing
}

func (b Backup) decode(out *output) (BackupSummary, error) {
	var summary BackupSummary
	if out.summary == nil || json.Unmarshal(out.summary, &summary) != nil {
		return BackupSummary{}, noResult(b.Name(), "summary")
	}
	switch made := fullIDPattern.MatchString(summary.SnapshotID); {
	case b.DryRun && !summary.DryRun:
		return BackupSummary{}, noResult(b.Name(), "dry run")
	case b.DryRun: // it names one all the same
		summary.SnapshotID = "" //guard:dry-run-snapshot
	case summary.SnapshotID == "" && b.Options.SkipIfUnchanged && b.Parent != "":
		summary.Unchanged = true
	case !made: //guard:restic-summary
		return BackupSummary{}, noResult(b.Name(), "snapshot")
	}
	if b.Named != nil && summary.TotalFilesProcessed == 0 { //guard:source-empty
		return BackupSummary{}, failureOf(CodeSourceEmpty)
	}
	summary.MissingSources = out.missing
	return summary, nil
}

// leftOut is the warning of a backup that made a snapshot without everything.
func leftOut(out *output) *Error {
	switch {
	case len(out.missing) > 0:
		return &Error{
			Code:    CodeSourceMissing,
			Message: fmt.Sprintf("%s not exist; the snapshot has the rest", plural(len(out.missing), "source does", "sources do")),
			Next:    "correct the paths of the schedule, or bring back what is missing (is a disk not mounted?)",
			Detail:  firstLine(out.missing[0]),
		}
	case out.items.Count > 0 && out.again == out.items.Count: //guard:stored-again
		return &Error{
			Code:    CodeStoredAgain,
			Message: fmt.Sprintf("the repository had lost parts of %s, which were stored again; this snapshot is complete", plural(out.items.Count, "file", "files")),
			Next:    "check the repository: snapshots from before are whole again where nothing else is lost",
			Detail:  firstLine(out.items.First[0].Message),
		}
	case out.items.Count > 0:
		return &Error{
			Code:    CodeSourceUnreadable,
			Message: fmt.Sprintf("%s not be read; the snapshot has the rest", plural(out.items.Count, "item could", "items could")),
			Next:    "see the list: give the agent the right to read them, or exclude them",
			Detail:  firstLine(out.items.First[0].Message),
		}
	default:
		return &Error{
			Code:    CodeSourceUnreadable,
			Message: "restic says that it could not read everything; the snapshot has the rest",
			Next:    "look at the job's log for what was left out",
		}
	}
}

// storedAgain reports whether what was said of an item is that the repository had lost
// parts of it: restic then reads it again and stores it.
func storedAgain(i Item) bool {
	return strings.Contains(i.Message, "not found in the repository index; storing the file again")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
