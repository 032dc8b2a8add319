package restic

import (
	"encoding/json"
	"time"
)

func initOperation() Operation {
	return Operation{
		Name: "init", Group: GroupAutomatic,
		Title:       "Initialise repository",
		Description: "Makes the repository at its location. Done once in its life; a repository that exists is never initialised again.",
		Fields:      []Field{repositoryField()},
		Lock:        LockNone,
		Slot:        SlotAppend,
		Places:      []Place{PlaceHost, PlaceMaintenanceHost},
	}
}

// Init makes a repository. It fails with repo_exists where one is. An interrupted
// Init can leave a key without a config.
type Init struct{}

// Initialized is a repository that was just made.
type Initialized struct {
	ID         string `json:"id"` // 64 hexadecimal digits
	Repository string `json:"repository"`
}

var _ Op[Initialized] = Init{}

// Name returns "init".
func (Init) Name() string { return "init" }

// Validate returns nil.
func (Init) Validate() error { return nil }

func (Init) plan(Version) plan {
	return plan{verb: []string{"init"}, deadline: 5 * time.Minute}
}

func (i Init) decode(out *output) (Initialized, error) {
	var made Initialized
	if m, ok := out.message("initialized"); ok {
		if err := json.Unmarshal(m, &made); err == nil && fullIDPattern.MatchString(made.ID) {
			return made, nil
		}
	}
	return Initialized{}, noResult(i.Name(), "repository id")
}
