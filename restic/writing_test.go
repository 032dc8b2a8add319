package restic

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestOperationsRefuseWhatTheyMustNotChange(t *testing.T) {
	id, repository := strings.Repeat("a", 64), `"repository_id":"0193a5c0-0000-7000-8000-00000000000a"`
	for params, code := range map[[2]string]Code{
		{"tag", `"snapshot_ids":["` + id + `"],"add":["rm:job:x"]`}:                           CodeTagInvalid,
		{"tag", `"snapshot_ids":["` + id + `"],"set":["x"],"add":["y"]`}:                      CodeFieldInvalid,
		{"tag", `"snapshot_ids":["` + id + `"]`}:                                              CodeFieldRequired,
		{"tag", `"snapshot_ids":["aaaaaaaa"],"add":["x"]`}:                                    CodeFieldInvalid,
		{"check", `"part":3,"parts":2`}:                                                       CodeFieldInvalid,
		{"check", `"part":1`}:                                                                 CodeFieldInvalid,
		{"check", `"read_data":true,"percent":5`}:                                             CodeFieldInvalid,
		{"unlock", `"force":true`}:                                                            CodeFieldRequired,
		{"rewrite", `"snapshot_ids":[],"excludes":["x"]`}:                                     CodeFieldRequired,
		{"rewrite", `"snapshot_ids":["` + id + `"],"excludes":[]`}:                            CodeFieldRequired,
		{"repair-packs", `"pack_ids":[]`}:                                                     CodeFieldRequired,
		{"copy", `"snapshot_ids":[],"from_repository_id":"` + uuidOfTest + `"`}:               CodeFieldRequired,
		{"copy", `"snapshot_ids":["` + id + `"],"from_repository_id":"` + repositoryOf + `"`}: CodeFieldInvalid,
		{"key-add", `"secret_id":"` + uuidOfTest + `"`}:                                       CodeFieldRequired,
		{"key-remove", `"key_id":"aaaaaaaa"`}:                                                 CodeFieldInvalid,
	} {
		_, err := ValidateParams(params[0], json.RawMessage(`{`+repository+`,`+params[1]+`}`))
		if CodeOf(err) != code {
			t.Errorf("%s %s: got %v", params[0], params[1], err)
		}
	}
	for _, tag := range []string{"rm:job:1", "RM:x", "a,b", "", "a\nb"} {
		if err := (Tag{SnapshotIDs: []string{id}, Remove: []string{tag}}).Validate(); err == nil {
			t.Errorf("the tag %q may be removed", tag)
		}
	}
	if err := (Rewrite{Excludes: []string{"x"}}).Validate(); err == nil {
		t.Error("every snapshot may be rewritten")
	}
}

const (
	uuidOfTest   = "0193a5c0-0000-7000-8000-00000000000b"
	repositoryOf = "0193a5c0-0000-7000-8000-00000000000a"
)

func mustParse(t *testing.T, location string) Location {
	t.Helper()
	l, err := ParseLocation(location)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestACopyShowsNoCredentialToTheOtherSide(t *testing.T) {
	rest, folder := mustParse(t, "rest:https://nas.test:8000/a/"), mustParse(t, "/srv/b")
	secret := NewSecret("s/e:c@ret")
	here := Access{Location: rest, Username: "maintainer", RESTPassword: NewSecret("keep")}
	there := Access{Location: mustParse(t, "rest:https://other.test/b/"), Password: NewSecret("p"), Username: "reader", RESTPassword: secret}

	location := variable{"RESTIC_FROM_REPOSITORY", "rest:https://reader:s%2Fe%3Ac%40ret@other.test/b/", true}
	here.From = &there
	vars, err := fromVariables(here)
	if err != nil || !slices.Contains(vars, location) {
		t.Errorf("two storages with credentials: %v, %v", vars, err)
	}
	bare := Access{Location: there.Location, Password: NewSecret("p")}
	here.From = &bare
	if _, err := fromVariables(here); CodeOf(err) != CodeCopyCredentials {
		t.Errorf("a source that asks for nothing: %v", err)
	}
	vars, err = fromVariables(Access{Location: folder, From: &there})
	if err != nil || !slices.Contains(vars, location) || !slices.Contains(vars, variable{"RESTIC_FROM_PASSWORD", "p", true}) {
		t.Errorf("into a folder: %v, %v", vars, err)
	}
}

func TestSecretsOfBothSidesAreRedacted(t *testing.T) {
	r := New(Config{})
	text := r.redactorFor(Access{Password: NewSecret("near"), NewPassword: NewSecret("later"), From: &Access{Password: NewSecret("far"), RESTPassword: NewSecret("away")}}).text("near later far away")
	for _, secret := range []string{"near", "later", "far", "away"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q holds %q", text, secret)
		}
	}
}
