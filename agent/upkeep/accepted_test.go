package upkeep

import (
	"strings"
	"testing"
)

func TestOnlyWholeIdsOfKeysAreAccepted(t *testing.T) {
	dir, key := t.TempDir(), strings.Repeat("a", 64)
	for _, id := range []string{"", "abcd", key[:63] + "g", key + "\n" + strings.Repeat("b", 64)} {
		if AcceptKey(dir, id) == nil {
			t.Errorf("%q was accepted", id)
		}
	}
	for range 2 {
		if err := AcceptKey(dir, key); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := AcceptedKeys(dir); err != nil || len(ids) != 1 || !ids[key] {
		t.Errorf("%v, %v", ids, err)
	}
}
