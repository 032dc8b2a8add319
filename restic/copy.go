package restic

import (
	"fmt"
	"net/url"
	"strings"
)

func copyOperation() Operation {
	return Operation{
		Name: "copy", Group: GroupMaintain,
		Title: "Copy from another repository",
		Description: "Copies snapshots of another repository into this one. Their ids change; what they were copied from stays known, and what was copied " +
			"before is not copied again.",
		Fields: []Field{
			repositoryField(),
			{
				Name: "from_repository_id", Type: FieldUUID, Required: true,
				Label: "From repository", Help: "a repository that the maintenance host is configured for too",
			},
			snapshotsField(true),
		},
		Lock: LockExclusive, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost},
		Facts: []Column{{"copied", "Copied", ColumnInt}, {"already", "Were there already", ColumnInt}},
		Rows: []Column{
			{"from_id", "Snapshot there", ColumnID},
			{"new_id", "Snapshot here", ColumnID},
			{"hostname", "Host", ColumnText},
			{"time", "Made", ColumnTime},
		},
		check: func(p Params) error {
			if p.String("repository_id") == p.String("from_repository_id") {
				return Errors{{Code: CodeFieldInvalid, Field: "from_repository_id", Message: "is the repository that is copied into", Next: "name another repository"}}
			}
			return Copy{SnapshotIDs: p.Strings("snapshot_ids")}.Validate()
		},
	}
}

// Copy copies snapshots from the repository of [Access].From. restic ends with 0 also
// where one is not there: compare the lists.
type Copy struct {
	SnapshotIDs []string
	Limits      Limits
}

var _ Op[Done] = Copy{}

// Name returns "copy".
func (Copy) Name() string { return "copy" }

// Validate refuses short ids and a copy of everything.
func (c Copy) Validate() error {
	errs := idErrors("snapshot_ids", c.SnapshotIDs)
	if len(c.SnapshotIDs) == 0 {
		errs = append(errs, &Error{Code: CodeFieldRequired, Field: "snapshot_ids", Message: "is required"})
	}
	return append(errs, c.Limits.mistakes()...).orNil()
}

func (c Copy) plan(Version) plan {
	return plan{verb: []string{"copy"}, flags: c.Limits.flags(), operands: c.SnapshotIDs, deadline: noDeadline, from: true}
}

func (Copy) decode(*output) (Done, error) { return Done{}, nil }

// fromVariables say where a copy comes from. restic has one set of credentials for both
// sides, so those of the source stand in its location, which is handed over like a
// password. A source that asks for none must not be shown ours.
func fromVariables(access Access) (vars []variable, err error) {
	from := access.From
	if from == nil {
		return nil, &Error{Code: CodeFieldRequired, Field: "from_repository_id", Message: "there is no repository to copy from"}
	}
	location := variable{name: "RESTIC_FROM_REPOSITORY", value: from.Location.String()}
	if from.Location.REST() && from.Username == "" && access.Location.REST() && access.Username+access.RESTPassword.Reveal() != "" { //guard:copy-credential
		return nil, &Error{
			Code:    CodeCopyCredentials,
			Message: "restic would show the credential of this repository to the storage that is copied from, which asks for none",
			Next:    "give the repository that is copied from a credential, or copy at a host that has one of them as a folder",
		}
	}
	if from.Location.REST() && from.Username != "" {
		if location, err = locationWithin("RESTIC_FROM_REPOSITORY", *from); err != nil {
			return nil, err
		}
	}
	vars = []variable{location, {name: "RESTIC_FROM_PASSWORD", value: from.Password.Reveal(), secret: true}}
	if from.KeyHint != "" {
		vars = append(vars, variable{name: "RESTIC_FROM_KEY_HINT", value: from.KeyHint})
	}
	return vars, nil
}

// locationWithin is a location with the credential in it.
func locationWithin(name string, a Access) (variable, error) {
	scheme, rest, found := strings.Cut(strings.TrimPrefix(a.Location.String(), "rest:"), "://")
	if !found {
		return variable{}, fmt.Errorf("the location %s has no scheme", a.Location)
	}
	return variable{name, "rest:" + scheme + "://" + url.UserPassword(a.Username, a.RESTPassword.Reveal()).String() + "@" + rest, true}, nil
}
