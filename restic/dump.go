package restic

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
)

// The formats of a dumped folder.
const (
	ArchiveTar = "tar"
	ArchiveZip = "zip"
)

func dumpOperation() Operation {
	return Operation{
		Name: "dump", Group: GroupMove,
		Title: "Dump to a file",
		Description: "Writes one file of a snapshot, or one of its folders as an archive, into a fresh private folder of the host. " +
			"Owners and modes are in the archive only; nothing else on the host is touched.",
		Fields: []Field{
			repositoryField(),
			snapshotField(),
			{
				Name: "path", Type: FieldPath, Pattern: snapshotPath, Required: true,
				Label: "Path", Help: "a file or folder in the snapshot, from the root",
			},
			{
				Name: "archive", Type: FieldString,
				Label: "Archive for a folder", Help: "a folder becomes one file of this kind; a single file stays as it is", Default: ArchiveTar,
				Options: []Option{{ArchiveTar, "tar"}, {ArchiveZip, "zip"}},
			},
		},
		Lock: LockNone, Slot: SlotAppend, Places: []Place{PlaceHost, PlaceMaintenanceHost}, Anywhere: true,
		Facts: []Column{
			{"target_path", "Written to", ColumnPath},
			{"bytes", "Size", ColumnBytes},
			{"entries", "Entries", ColumnInt},
			{"fenced", "Fenced by the kernel", ColumnBool},
		},
	}
}

// Dump writes an entry of a snapshot into a file of RestoredFolder in Folder.
type Dump struct {
	SnapshotID string // 64 hexadecimal digits
	Path       string // of a file or a folder
	Archive    string // of a folder: ArchiveTar or ArchiveZip

	// File is the new file's name, see DumpName.
	File string

	// Folder is an open folder that nobody else can enter, as of Restore.
	Folder *os.File
	Fence  bool // the kernel lets restic write nowhere else, see CanFence

	Limits Limits
}

var _ Op[struct{}] = Dump{}

// dumpName is a name that leads nowhere and hides nothing.
var dumpName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_. +@-]{0,199}$`)

// DumpName is the name of the file into which an entry is dumped: its own, where that is a
// plain one; archive is "" for a file.
func DumpName(entry, archive string) string {
	ending := ""
	if archive != "" {
		ending = "." + archive
	}
	if name := path.Base(entry) + ending; dumpName.MatchString(name) {
		return name
	}
	return "dump" + ending
}

// Name returns "dump".
func (Dump) Name() string { return "dump" }

// Validate checks every field.
func (d Dump) Validate() error {
	var errs Errors
	if !fullIDPattern.MatchString(d.SnapshotID) {
		errs = append(errs, notFullID("snapshot_id"))
	}
	if CheckSnapshotPath(d.Path) != nil {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "path", Message: "is not a path in a snapshot"})
	}
	if d.Archive != ArchiveTar && d.Archive != ArchiveZip {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "archive", Message: "is not one of " + ArchiveTar + ", " + ArchiveZip})
	}
	if !dumpName.MatchString(d.File) { //guard:dump-name
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "file", Message: "is not a plain name"})
	}
	if d.Folder == nil || !filepath.IsAbs(d.Folder.Name()) {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "folder", Message: "is not an open folder"})
	}
	return append(errs, d.Limits.mistakes()...).orNil()
}

func (d Dump) plan(Version) plan {
	return plan{
		verb:     []string{"dump"},
		flags:    append([]string{"--target=" + targetOf(d.Folder) + string(filepath.Separator) + d.File, "--archive=" + d.Archive}, d.Limits.flags()...),
		operands: []string{d.SnapshotID, d.Path},
		reads:    true,
		deadline: longDeadline,
		folder:   d.Folder,
		fenced:   d.Fence,
	}
}

func (Dump) decode(*output) (struct{}, error) { return struct{}{}, nil }
