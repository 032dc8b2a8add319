package restic

import (
	"encoding/json"
	"regexp"
)

func identifyOperation() Operation {
	return Operation{
		Name: "identify", Group: GroupLook,
		Title:       "Identify repository",
		Description: "Opens a repository that exists, and reports its id and its keys. Changes nothing.",
		Fields:      []Field{repositoryField()},
		Lock:        LockNone,
		Slot:        SlotAppend,
		Places:      []Place{PlaceHost, PlaceMaintenanceHost},
		Facts: []Column{
			{"restic_id", "Id", ColumnID},
			{"format_version", "Format", ColumnInt},
			{"keys", "Keys", ColumnInt},
			{"key_ids", "Which", ColumnList},
		},
		Rows: []Column{
			{"id", "Key", ColumnID},
			{"current", "Ours", ColumnBool},
			{"username", "User", ColumnText},
			{"hostname", "Host", ColumnText},
			{"created", "Made, by the clock of who made it", ColumnText},
		},
	}
}

// CatConfig reads the repository's own description: the proof that it exists and
// that the password opens it.
type CatConfig struct{}

// RepositoryConfig is what a repository says of itself.
type RepositoryConfig struct {
	Version int    `json:"version"`
	ID      string `json:"id"` // 64 hexadecimal digits
}

var _ Op[RepositoryConfig] = CatConfig{}

// Name returns "cat config".
func (CatConfig) Name() string { return "cat config" }

// Validate returns nil.
func (CatConfig) Validate() error { return nil }

func (CatConfig) plan(Version) plan {
	return plan{verb: []string{"cat"}, operands: []string{"config"}, reads: true, document: true}
}

func (c CatConfig) decode(out *output) (RepositoryConfig, error) {
	var config RepositoryConfig
	if err := json.Unmarshal(out.document, &config); err != nil || !fullIDPattern.MatchString(config.ID) {
		return RepositoryConfig{}, noResult(c.Name(), "repository id")
	}
	return config, nil
}

// ListKeys lists the repository's keys: one per password that opens it.
type ListKeys struct{}

// Key is a key of a repository.
type Key struct {
	Current bool   `json:"current"` // the one this process opened it with
	ID      string `json:"id"`      // 64 hexadecimal digits
	User    string `json:"userName"`
	Host    string `json:"hostName"`
	Created string `json:"created"` // in the host's local time, without a zone
}

var _ Op[[]Key] = ListKeys{}

// Name returns "key list".
func (ListKeys) Name() string { return "key list" }

// Validate returns nil.
func (ListKeys) Validate() error { return nil }

func (ListKeys) plan(Version) plan {
	return plan{verb: []string{"key", "list"}, reads: true, document: true}
}

func (k ListKeys) decode(out *output) ([]Key, error) {
	var keys []Key
	if err := json.Unmarshal(out.document, &keys); err != nil || len(keys) == 0 {
		return nil, noResult(k.Name(), "keys")
	}
	return keys, nil
}

// keyHintPattern is what --key-hint may be: a whole key id or its start.
var keyHintPattern = regexp.MustCompile(`^[0-9a-f]{8,64}$`)
