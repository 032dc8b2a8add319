package auth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"restic-manager/server/auth"
)

func TestARouteWithoutARuleIsNamed(t *testing.T) {
	nothing := func(http.ResponseWriter, *http.Request) {}
	mux := chi.NewRouter()
	mux.Get("/a/{id}", nothing)
	mux.Post("/b", nothing)
	mux.Route("/c", func(r chi.Router) { r.Get("/d", nothing) })
	policy := auth.Policy{"GET /a/{id}": auth.Viewer, "POST /b": auth.Admin, "GET /c/d": auth.Public}
	if err := policy.Check(mux); err != nil {
		t.Errorf("with a rule for each: %v", err)
	}
	for route := range policy {
		t.Run(route, func(t *testing.T) {
			for name, rule := range map[string]auth.Rule{"none": "", "unknown": "everybody"} {
				broken := auth.Policy{}
				for r, has := range policy {
					if r != route {
						broken[r] = has
					} else if rule != "" {
						broken[r] = rule
					}
				}
				err := broken.Check(mux)
				if err == nil || !strings.Contains(err.Error(), "route_without_policy: "+route) {
					t.Errorf("%s: got %v", name, err)
				}
			}
		})
	}
}

func TestAMethodHasARuleOfItsOwn(t *testing.T) {
	policy := auth.Policy{"GET /a": auth.Public}
	if _, ok := policy.Of("POST", "/a"); ok {
		t.Error("the rule of GET lets POST in")
	}
}
