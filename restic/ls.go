package restic

import "slices"

func lsOperation() Operation {
	return Operation{
		Name: "ls", Group: GroupLook,
		Title:       "List files",
		Description: "Lists a snapshot, or what is in one of its folders. Changes nothing.",
		Fields: []Field{
			repositoryField(),
			snapshotField(),
			{
				Name: "path", Type: FieldPath, Pattern: snapshotPath,
				Label: "Path", Help: "a folder or file in the snapshot, from the root", Default: "the whole snapshot",
			},
			{
				Name: "recursive", Type: FieldBool,
				Label: "With subfolders", Help: "list everything below the path, not only what is right in it",
			},
		},
		Lock: LockNone, Slot: SlotAppend, Places: []Place{PlaceHost, PlaceMaintenanceHost}, Anywhere: true,
		Facts: []Column{
			{"entries", "Entries", ColumnInt},
			{"bytes", "Size of the files", ColumnBytes},
		},
		Rows: nodeColumns(),
	}
}

// snapshotField names one snapshot.
func snapshotField() Field {
	return Field{Name: "snapshot_id", Type: FieldSnapshotID, Required: true, Label: "Snapshot", Help: "the full id of a snapshot"}
}

// nodeColumns are those of an entry of a snapshot.
func nodeColumns() []Column {
	return []Column{
		{"path", "Path", ColumnPath},
		{"type", "Type", ColumnText},
		{"size", "Size", ColumnBytes},
		{"mode", "Mode", ColumnText},
		{"mtime", "Changed", ColumnTime},
	}
}

// indexOperation is carried out with a List too.
func indexOperation() Operation {
	return Operation{
		Name: "index", Group: GroupAutomatic,
		Title:       "Index for browsing",
		Description: "Lists a snapshot once and hands the server an index of it, by which it can be browsed and searched. Changes nothing.",
		Fields:      []Field{repositoryField(), snapshotField()},
		Lock:        LockNone, Slot: SlotAppend, Places: []Place{PlaceHost, PlaceMaintenanceHost}, Anywhere: true,
		Facts: []Column{
			{"entries", "Entries", ColumnInt},
			{"folders", "Folders", ColumnInt},
			{"total_bytes", "Size of the files", ColumnBytes},
			{"bytes", "Size of the index", ColumnBytes},
			{"skipped", "Entries left out for their long paths", ColumnInt},
		},
	}
}

// List lists the entries of a snapshot, a folder before what is in it, those of one folder
// in the order of their names. Where it has none of the paths, that is the failure
// path_not_found, although restic ends with 0.
type List struct {
	SnapshotID string   // 64 hexadecimal digits
	Paths      []string // folders, each listed with what is in it, and files; none is the whole snapshot
	Recursive  bool     // with all that is below them

	// Each gets the entries one by one, while restic runs. Its error ends the listing.
	Each func(Node) error
}

var _ Op[int64] = List{}

// Name returns "ls".
func (List) Name() string { return "ls" }

// Validate checks the id and the paths.
func (l List) Validate() error {
	var errs Errors
	if !fullIDPattern.MatchString(l.SnapshotID) {
		errs = append(errs, notFullID("snapshot_id"))
	}
	for _, path := range l.Paths {
		if CheckSnapshotPath(path) != nil {
			errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "path", Message: "is not a path in a snapshot"})
		}
	}
	return errs.orNil()
}

func notFullID(field string) *Error {
	return &Error{Code: CodeFieldInvalid, Field: field, Message: "must be a full snapshot id of 64 hexadecimal digits"}
}

func (l List) plan(Version) plan {
	p := plan{
		verb: []string{"ls"}, operands: []string{l.SnapshotID}, reads: true, deadline: noDeadline, watched: true,
		absent: CodeSnapshotNotFound, item: l.item,
	}
	if l.Recursive && slices.Contains(l.Paths, "/") {
		return p
	}
	if l.Recursive && len(l.Paths) > 0 {
		p.flags = []string{"--recursive"}
	}
	p.operands = append(p.operands, l.Paths...)
	return p
}

func (l List) item(line []byte) (bool, error) {
	n, ok := decodeNode(line)
	if !ok {
		return false, nil
	}
	return true, l.Each(n)
}

// decode returns how many entries were listed.
func (l List) decode(out *output) (int64, error) {
	if _, ok := out.message("snapshot"); !ok {
		return 0, noResult(l.Name(), "snapshot")
	}
	if out.taken == 0 && len(l.Paths) > 0 && !slices.Contains(l.Paths, "/") { //guard:ls-nothing
		return 0, failureOf(CodePathNotFound)
	}
	return out.taken, nil
}
