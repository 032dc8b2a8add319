package upkeep

import "testing"

func TestOnlyWholeIdsOfKeysAreAccepted(t *testing.T) {
	dir := t.TempDir()
	for _, id := range []string{"", "abcd", name("a")[:63] + "g", name("a") + "\n" + name("b")} {
		if AcceptKey(dir, id) == nil {
			t.Errorf("%q was accepted", id)
		}
	}
	for range 2 {
		if err := AcceptKey(dir, name("a")); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := AcceptedKeys(dir); err != nil || len(ids) != 1 || !ids[name("a")] {
		t.Errorf("%v, %v", ids, err)
	}
}
