package restic

import "strings"

// ListFiles lists the ids of a repository's files of one kind, as the storage has them.
// They are not logged.
type ListFiles struct {
	Kind string                // "packs" or "index"
	Each func(id string) error // gets them one by one; its error ends the listing
}

var _ Op[int64] = ListFiles{}

// Name returns "list packs" or "list index".
func (l ListFiles) Name() string { return "list " + l.Kind }

// Validate refuses other kinds.
func (l ListFiles) Validate() error {
	if l.Kind == "packs" || l.Kind == "index" {
		return nil
	}
	return Errors{{Code: CodeFieldInvalid, Field: "kind", Message: "must be packs or index"}}
}

func (l ListFiles) plan(Version) plan {
	return plan{verb: []string{"list"}, operands: []string{l.Kind}, reads: true, deadline: longDeadline, item: l.item}
}

// item takes the lines that are ids: restic prints them as text even when it is asked for
// JSON.
func (l ListFiles) item(line []byte) (bool, error) {
	id := strings.TrimSpace(string(line))
	if !fullIDPattern.MatchString(id) {
		return false, nil
	}
	return true, l.Each(id)
}

// decode returns how many files were listed.
func (ListFiles) decode(out *output) (int64, error) { return out.taken, nil }
