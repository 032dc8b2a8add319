package restic_test

import (
	"encoding/json"
	"strings"
	"testing"

	"restic-manager/restic"
)

func TestAForgetNamesItsSnapshotsInFull(t *testing.T) {
	id := strings.Repeat("ab", 32)
	if err := (restic.Forget{IDs: []string{id}}).Validate(); err != nil {
		t.Error(err)
	}
	var many []string
	for range 251 {
		many = append(many, id)
	}
	for name, ids := range map[string][]string{
		"none": nil, "an empty list": {}, "latest": {"latest"}, "a short id": {id[:8]}, "an option": {"--prune"}, "one twice": {id, id}, "capitals": {strings.ToUpper(id)},
		"too many": many,
	} {
		if err := (restic.Forget{IDs: ids}).Validate(); err == nil {
			t.Errorf("%s passes", name)
		}
		if name == "one twice" || name == "too many" {
			continue // the recipe takes each once, and cuts the list
		}
		raw, err := json.Marshal(map[string]any{"repository_id": "0193a5c0-0000-7000-8000-000000000001", "snapshot_ids": ids})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := restic.ValidateParams("forget", raw); err == nil {
			t.Errorf("%s passes as params", name)
		}
	}
	if n := len(restic.ForgetBatches(many)); n != 2 {
		t.Errorf("%d batches", n)
	}
}
