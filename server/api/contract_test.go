package api

import (
	"strings"
	"testing"

	"restic-manager/server/auth"
)

func TestAnOperationWithoutARuleDoesNotStart(t *testing.T) {
	rules := auth.Operations()
	delete(rules, "deleteHost")
	if _, err := readContract(rules); err == nil || !strings.Contains(err.Error(), "route_without_policy: DELETE /api/v1/hosts/{host_id}") {
		t.Errorf("got %v", err)
	}
	rules = auth.Operations()
	rules["invented"] = auth.Admin
	if _, err := readContract(rules); err == nil || !strings.Contains(err.Error(), "invented") {
		t.Errorf("a rule of nothing: got %v", err)
	}
	if _, err := readContract(auth.Operations()); err != nil {
		t.Error(err)
	}
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	for code, k := range kinds() {
		if k.status < 400 || k.title == "" {
			t.Errorf("%s: %+v", code, k)
		}
	}
}
