package restic

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
)

// The values of restore's fields.
const (
	TargetStaging = "staging"  // a fresh private folder of the host
	TargetInPlace = "in_place" // where the entries were when they were backed up

	OverwriteAlways    = "always"
	OverwriteIfChanged = "if-changed" // another size or time
	OverwriteIfNewer   = "if-newer"   // the one in the snapshot is newer
	OverwriteNever     = "never"
)

func restoreOperation() Operation {
	return Operation{
		Name: "restore", Group: GroupMove,
		Title: "Restore",
		Description: "Restores a snapshot, or what is chosen of it, into a fresh private folder of the host, or in place where the host's own policy " +
			"file allows that. Nothing is ever deleted, and nothing in place is touched before everything was restored beside it.",
		Fields: []Field{
			repositoryField(),
			{
				Name: "snapshot_id", Type: FieldSnapshotID, Required: true,
				Label: "Snapshot", Help: "the full id of a snapshot",
			},
			{
				Name: "paths", Type: FieldPathList, Pattern: snapshotPath,
				Label: "Files and folders", Help: "whole paths in the snapshot, from the root, each taken literally", Default: "everything in the snapshot",
			},
			{
				Name: "target", Type: FieldString, Required: true,
				Label: "Where to", Help: "a fresh folder touches nothing that exists; where it was needs the host's own policy file",
				Options: []Option{{TargetStaging, "A fresh folder on the host"}, {TargetInPlace, "Where it was"}},
			},
			{
				Name: "overwrite", Type: FieldString,
				Label: "Files that exist there", Help: "counts only where files go back to where they were", Default: OverwriteAlways, Rare: true,
				Options: []Option{
					{OverwriteAlways, "Replace"}, {OverwriteIfChanged, "Replace if its size or time differs"},
					{OverwriteIfNewer, "Replace if the one in the snapshot is newer"}, {OverwriteNever, "Keep"},
				},
			},
			{
				Name: "verify", Type: FieldBool,
				Label: "Verify", Help: "read everything that was restored again and compare it; takes longer",
			},
			{
				Name: "dry_run", Type: FieldBool,
				Label: "Only plan", Help: "write nothing, and say how much it would be",
			},
		},
		Lock:     LockShared,
		Slot:     SlotAppend,
		Places:   []Place{PlaceHost, PlaceMaintenanceHost},
		Anywhere: true,
		Facts:    restoreFacts(),
		Rows: []Column{
			{"path", "Path", ColumnPath},
			{"what", "What", ColumnText}, // stripped, error, kept, missing
			{"detail", "Detail", ColumnText},
		},
	}
}

func restoreFacts() []Column {
	return []Column{
		{"target_path", "Restored to", ColumnPath},
		{"planned_files", "Entries planned", ColumnInt},
		{"planned_bytes", "Bytes planned", ColumnBytes},
		{"restored_files", "Entries restored", ColumnInt},
		{"restored_bytes", "Bytes restored", ColumnBytes},
		{"skipped_files", "Entries left as they were", ColumnInt},
		{"errors", "Entries with errors", ColumnInt},
		{"stripped", "Privileges taken away", ColumnInt},
		{"verified", "Verified", ColumnBool},
		{"fenced", "Fenced by the kernel", ColumnBool},
		{"not_restored", "Metadata that this agent cannot restore", ColumnList},
	}
}

// snapshotPath is the form of a path in a snapshot: from the root, in its shortest form.
const snapshotPath = `/|(?:/(?:[^/]{3,}|[^/.]|[^/.][^/]|[.][^/.]))+`

// CheckSnapshotPath refuses what cannot be the path of an entry in a snapshot.
func CheckSnapshotPath(path string) error {
	if strings.ContainsRune(path, 0) || len(path) > maxPathLength || !matches(snapshotPath, path) {
		return &Error{
			Code: CodeFieldInvalid, Field: "paths", Message: "is not a path in a snapshot",
			Next: "write it from the root, /home or /C/Users, without . and .. and without a / at its end",
		}
	}
	return nil
}

// RestoredFolder is the folder in Restore.Folder that what is restored goes to.
const RestoredFolder = "files"

// Restore writes entries of a snapshot, each with the folders above it, below
// RestoredFolder in Folder. Nothing is deleted there. It is a Warning when restic
// could not restore some of them.
type Restore struct {
	SnapshotID string // 64 hexadecimal digits

	// Paths are the entries, folders with all that is in them; none is the whole
	// snapshot. They are taken literally. A name that is not UTF-8 cannot be among
	// them: it is restored with its folder.
	Paths []string

	// Folder is an open folder that nobody else can enter. restic gets it open and
	// not by its path (on Windows by its path).
	Folder *os.File

	Verify bool // read again what was restored
	DryRun bool // write nothing
	NoLock bool
	Fence  bool // the kernel lets restic write nowhere else, see CanFence

	Limits Limits
}

// RestoreSummary is restic's account of a restore, or of what one would do. Folders count
// as files. When there were errors, what could not be restored is in its numbers too.
type RestoreSummary struct {
	TotalFiles    int64 `json:"total_files"`
	FilesRestored int64 `json:"files_restored"` // with the folders above what was chosen
	TotalBytes    int64 `json:"total_bytes"`
	BytesRestored int64 `json:"bytes_restored"`
}

var _ Op[RestoreSummary] = Restore{}

// Name returns "restore".
func (r Restore) Name() string {
	if r.DryRun {
		return "restore --dry-run"
	}
	return "restore"
}

// Validate checks every field.
func (r Restore) Validate() error {
	var errs Errors
	if !fullIDPattern.MatchString(r.SnapshotID) {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "snapshot_id", Message: "must be a full snapshot id of 64 hexadecimal digits"})
	}
	for i, path := range r.Paths {
		if CheckSnapshotPath(path) != nil { //guard:restore-path-form
			errs = append(errs, &Error{Code: CodeFieldInvalid, Field: fmt.Sprintf("paths[%d]", i), Message: "is not a path in a snapshot"})
		}
	}
	if r.Folder == nil || !filepath.IsAbs(r.Folder.Name()) {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "folder", Message: "is not an open folder"})
	}
	return append(errs, r.Limits.mistakes()...).orNil()
}

func (r Restore) plan(Version) plan {
	p := plan{
		verb: []string{"restore"},
		// Holes stay holes: a sparse file must not fill the disk.
		flags:    []string{"--target=" + targetOf(r.Folder), "--sparse"},
		operands: []string{r.SnapshotID},
		reads:    r.NoLock || r.DryRun,
		deadline: noDeadline,
		watched:  true,
		absent:   CodeSnapshotNotFound,
		lacks:    notAllRestored,
		folder:   r.Folder,
		fenced:   r.Fence,
	}
	if r.Verify {
		p.flags = append(p.flags, "--verify")
	}
	if r.DryRun {
		p.flags = append(p.flags, "--dry-run")
	}
	if paths := r.chosen(); len(paths) > 0 {
		p.files = []listFile{{flag: "--include-file", content: includeList(paths)}}
	}
	p.flags = append(p.flags, r.Limits.flags()...)
	return p
}

// chosen are the paths, none where the root is among them.
func (r Restore) chosen() []string {
	for _, path := range r.Paths {
		if path == "/" {
			return nil
		}
	}
	return r.Paths
}

// includeList writes paths as lines of restic's patterns that match nothing but them.
func includeList(paths []string) []byte {
	var b strings.Builder
	for _, path := range paths {
		for _, sign := range path {
			writeLiteral(&b, sign)
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// writeLiteral writes a sign so that it means itself: restic reads a list by lines, cuts
// blanks at their ends, puts environment variables in the place of their names, and takes
// what is left for a pattern. A line break cannot be written at all; everything else is
// what it is not.
func writeLiteral(b *strings.Builder, sign rune) {
	switch {
	case sign == '\n':
		b.WriteString("[^\x01-\x09\x0b-\U0010FFFF]")
	case sign == '$':
		b.WriteString("$$")
	case sign == '\\' && runtime.GOOS != "windows":
		b.WriteString(`\\`)
	case strings.ContainsRune(`*?[`, sign), sign != '/' && unicode.IsSpace(sign):
		b.WriteString("[" + string(sign) + "]")
	default:
		b.WriteRune(sign)
	}
}

func (r Restore) decode(out *output) (RestoreSummary, error) {
	var summary RestoreSummary
	if out.summary == nil || json.Unmarshal(out.summary, &summary) != nil {
		return RestoreSummary{}, noResult(r.Name(), "summary")
	}
	if summary.FilesRestored == 0 { //guard:restore-nothing
		return RestoreSummary{}, failureOf(CodeNothingRestored)
	}
	return summary, nil
}

// notAllRestored is the warning of a restore in which some entries failed.
func notAllRestored(out *output) *Error {
	failure := failureOf(CodeRestoreIncomplete)
	failure.Message = fmt.Sprintf("%s not be restored completely", plural(out.items.Count, "entry could", "entries could"))
	if out.items.Count > 0 {
		failure.Detail = firstLine(out.items.First[0].Message)
	}
	return failure
}
