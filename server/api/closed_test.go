package api_test

import (
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestEveryRequestOfPeopleIsClosed looks at each object that people may send: a
// member that the contract does not name must be refused, or a column that it was
// never meant for might be set one day. Params are closed by their operation's fields.
func TestEveryRequestOfPeopleIsClosed(t *testing.T) {
	checked := 0
	for path, item := range readSpec(t).Paths.Map() {
		for method, op := range item.Operations() {
			if op.RequestBody == nil || !strings.HasPrefix(path, "/api/") {
				continue
			}
			for media, content := range op.RequestBody.Value.Content {
				if media != "application/json" {
					t.Errorf("%s %s takes %s", method, path, media)
				}
				checked++
				wantClosed(t, method+" "+path, content.Schema.Value)
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d bodies were looked at", checked)
	}
}

func wantClosed(t *testing.T, where string, s *openapi3.Schema) {
	t.Helper()
	if s.Type.Is("object") && !strings.HasSuffix(where, ".params") {
		if has := s.AdditionalProperties.Has; has == nil || *has || s.AdditionalProperties.Schema != nil {
			t.Errorf("%s takes members that it does not name", where)
		}
	}
	for name, member := range s.Properties {
		wantClosed(t, where+"."+name, member.Value)
	}
	for _, part := range s.AllOf {
		wantClosed(t, where, part.Value)
	}
	if s.Items != nil {
		wantClosed(t, where+"[]", s.Items.Value)
	}
}
