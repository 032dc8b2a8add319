package restic

import (
	"encoding/json"
	"strings"
)

// snapshotsField asks for snapshots by their full ids.
func snapshotsField(required bool) Field {
	f := Field{
		Name: "snapshot_ids", Type: FieldSnapshotIDList, MaxItems: 1000, Required: required,
		Label: "Snapshots", Help: "full ids of snapshots",
	}
	if !required {
		f.Default = "all of them"
	}
	return f
}

// replacedRows are the rows of operations that make new snapshots of old ones.
func replacedRows() []Column {
	return []Column{
		{"old_id", "Snapshot", ColumnID},
		{"new_id", "Is now", ColumnID},
		{"removed", "The old one was removed", ColumnBool},
		{"hostname", "Host", ColumnText},
		{"time", "Made", ColumnTime},
	}
}

func tagsField(name, label, help string) Field {
	return Field{Name: name, Type: FieldStringList, Pattern: tagPattern.String(), MaxItems: 100, Label: label, Help: help}
}

func tagOperation() Operation {
	return Operation{
		Name: "tag", Group: GroupMaintain,
		Title:       "Change tags",
		Description: "Changes the tags of snapshots, which changes their ids. Tags that begin with rm: are ours and stay.",
		Fields: []Field{
			repositoryField(), snapshotsField(true),
			tagsField("add", "Tags to add", "tags that the snapshots get"),
			tagsField("remove", "Tags to remove", "tags that the snapshots lose"),
			tagsField("set", "Tags instead of all they have", "the tags that the snapshots have afterwards, instead of add and remove"),
		},
		Lock: LockExclusive, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost}, Deletes: true,
		Facts: []Column{
			{"changed", "Snapshots changed", ColumnInt},
			{"unchanged", "Had these tags already", ColumnInt},
			{"removed", "Old ones removed", ColumnInt},
		},
		Rows: replacedRows(),
		check: func(p Params) error {
			add, remove, set := len(p.Strings("add")) > 0, len(p.Strings("remove")) > 0, len(p.Strings("set")) > 0
			switch {
			case set && (add || remove):
				return Errors{{Code: CodeFieldInvalid, Field: "set", Message: "cannot be combined with add or remove", Next: "give set alone, or the others"}}
			case !set && !add && !remove:
				return Errors{{Code: CodeFieldRequired, Field: "add", Message: "there is no tag to add, remove or set", Next: "give one in add, remove or set"}}
			}
			var errs Errors
			for _, field := range []string{"add", "remove", "set"} {
				for i, tag := range p.Strings(field) {
					errs = append(errs, entryErrors(field, i, CheckTag(tag))...)
				}
			}
			return errs.orNil()
		},
	}
}

// Tag changes the tags of snapshots. restic ends with 0 also where the storage refused
// all of it or a snapshot is not there: compare what it says it changed.
type Tag struct {
	SnapshotIDs []string
	Add, Remove []string
}

// Replaced is a snapshot that became another.
type Replaced struct {
	Old string `json:"old_snapshot_id"`
	New string `json:"new_snapshot_id"`
}

var _ Op[[]Replaced] = Tag{}

// Name returns "tag".
func (Tag) Name() string { return "tag" }

// Validate refuses our own tags, short ids and a change of nothing.
func (t Tag) Validate() error {
	errs := idErrors("snapshot_ids", t.SnapshotIDs)
	if len(t.SnapshotIDs) == 0 {
		errs = append(errs, &Error{Code: CodeFieldRequired, Field: "snapshot_ids", Message: "is required"})
	}
	if len(t.Add)+len(t.Remove) == 0 {
		errs = append(errs, &Error{Code: CodeFieldRequired, Field: "add", Message: "there is no tag to add or remove", Next: "give one in add, remove or set"})
	}
	for i, tag := range t.Add {
		errs = append(errs, entryErrors("add", i, CheckTag(tag))...)
	}
	for i, tag := range t.Remove { // others may have made them, of any form
		if tag == "" || strings.HasPrefix(strings.ToLower(tag), "rm:") || strings.ContainsAny(tag, ",\x00\n") { //guard:tag-ours
			errs = append(errs, entryErrors("remove", i, &Error{Code: CodeTagInvalid, Message: "is not a tag that can be removed", Next: "tags that begin with rm: stay"})...)
		}
	}
	return errs.orNil()
}

func (t Tag) plan(Version) plan {
	p := plan{verb: []string{"tag"}, operands: t.SnapshotIDs, deadline: noDeadline}
	for _, tag := range t.Add {
		p.flags = append(p.flags, "--add="+tag)
	}
	for _, tag := range t.Remove {
		p.flags = append(p.flags, "--remove="+tag)
	}
	return p
}

func (t Tag) decode(out *output) ([]Replaced, error) {
	if out.summary == nil {
		return nil, noResult(t.Name(), "summary")
	}
	changed := []Replaced{}
	for _, m := range out.messages {
		var r Replaced
		if messageType(m) == "changed" && json.Unmarshal(m, &r) == nil && fullIDPattern.MatchString(r.Old) && fullIDPattern.MatchString(r.New) {
			changed = append(changed, r)
		}
	}
	return changed, nil
}

// idErrors refuses what is not a full id.
func idErrors(field string, ids []string) Errors {
	var errs Errors
	for i, id := range ids {
		if !fullIDPattern.MatchString(id) {
			errs = append(errs, entryErrors(field, i, &Error{Code: CodeFieldInvalid, Message: "must be a full id of 64 hexadecimal digits"})...)
		}
	}
	return errs
}
