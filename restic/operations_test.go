package restic_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
)

const uuid = "0193a5c0-0000-7000-8000-00000000000a"

func TestTheListOfOperationsIsClosed(t *testing.T) {
	var names []string
	for _, op := range restic.Operations() {
		names = append(names, op.Name)
		if op.Title == "" || op.Group == "" || op.Description == "" || op.Lock == "" || op.Slot == "" || len(op.Places) == 0 {
			t.Errorf("%s is not fully declared: %+v", op.Name, op)
		}
		if op.Deletes && (op.Slot != restic.SlotMaintenance || slices.Contains(op.Places, restic.PlaceHost)) {
			t.Errorf("%s deletes, and could run with what hosts have", op.Name)
		}
		for _, field := range op.Fields {
			if field.Name == "" || field.Type == "" || field.Label == "" || field.Help == "" {
				t.Errorf("%s: field not fully declared: %+v", op.Name, field)
			}
			offered := func(o restic.Option) bool { return o.Value == field.Default && o.Label != "" }
			if len(field.Options) > 0 && (field.Default != "" || !field.Required) && !slices.ContainsFunc(field.Options, offered) {
				t.Errorf("%s: what %s is when it is left out is none of its options", op.Name, field.Name)
			}
		}
		if found, ok := restic.OperationNamed(op.Name); !ok || found.Name != op.Name {
			t.Errorf("%s is not found by its name", op.Name)
		}
	}
	if diff := cmp.Diff([]string{"init", "identify", "backup", "preview", "snapshots", "locks", "retention", "forget", "prune", "inspect", "ls", "index", "find", "stats", "diff", "dump", "restore",
		"check", "unlock", "tag", "copy", "rewrite", "key-add", "key-remove", "repair-index", "repair-snapshots", "repair-packs"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestGoodParamsAreReturned(t *testing.T) {
	params, err := restic.ValidateParams("backup", json.RawMessage(`{"schedule_id":"`+strings.ToUpper(uuid)+`","schedule_version":3}`))
	if err != nil {
		t.Fatal(err)
	}
	if params.String("schedule_id") != uuid || params.Int("schedule_version") != 3 || !params.Has("schedule_id") || params.Has("x") {
		t.Errorf("got %q %d", params.String("schedule_id"), params.Int("schedule_version"))
	}
	for _, op := range []string{"init", "identify", "snapshots", "locks"} {
		if params, err := restic.ValidateParams(op, json.RawMessage(` {"repository_id" : "`+uuid+`"} `)); err != nil || params.String("repository_id") != uuid {
			t.Errorf("%s: got %v", op, err)
		}
	}
}

func TestBadParamsAreRefusedByCodeAndField(t *testing.T) {
	good := `"schedule_id":"` + uuid + `","schedule_version":1`
	tests := []struct {
		operation, params string
		want              []string // code field
	}{
		{"exec", `{"cmd":"hunter2"}`, []string{"unknown_operation "}},
		{"", `{}`, []string{"unknown_operation "}},
		{"Backup", `{}`, []string{"unknown_operation "}},
		{"backup", `{` + good + `,"extra_args":["-o","sftp.command=hunter2"]}`, []string{"unknown_field extra_args"}},
		{"backup", `{` + good + `,"Schedule_ID":"` + uuid + `"}`, []string{"unknown_field Schedule_ID"}},
		{"backup", `{` + good + `,"a\nhunter3":1}`, []string{`unknown_field "a\nhunter3"`}},
		{"backup", `{` + good + `,"paths":["/etc"],"host":"x"}`, []string{"unknown_field host", "unknown_field paths"}},
		{"backup", `{}`, []string{"field_required schedule_id", "field_required schedule_version"}},
		{"backup", ``, []string{"field_required schedule_id", "field_required schedule_version"}},
		{"backup", `null`, []string{"field_required schedule_id", "field_required schedule_version"}},
		{"backup", `{"schedule_id":null,"schedule_version":1}`, []string{"field_required schedule_id"}},
		{"backup", `{"schedule_id":"hunter2","schedule_version":1}`, []string{"field_invalid schedule_id"}},
		{"backup", `{"schedule_id":"","schedule_version":1}`, []string{"field_invalid schedule_id"}},
		{"backup", `{"schedule_id":5,"schedule_version":1}`, []string{"field_invalid schedule_id"}},
		{"backup", `{"schedule_id":"` + uuid + `\n","schedule_version":1}`, []string{"field_invalid schedule_id"}},
		{"backup", `{"schedule_id":"` + uuid + `","schedule_version":"1"}`, []string{"field_invalid schedule_version"}},
		{"backup", `{"schedule_id":"` + uuid + `","schedule_version":1.5}`, []string{"field_invalid schedule_version"}},
		{"backup", `{"schedule_id":"` + uuid + `","schedule_version":0}`, []string{"field_invalid schedule_version"}},
		{"backup", `{"schedule_id":"` + uuid + `","schedule_version":-1}`, []string{"field_invalid schedule_version"}},
		{"backup", `{"schedule_id":"` + uuid + `","schedule_version":1e99}`, []string{"field_invalid schedule_version"}},
		{"backup", `{"schedule_id":"` + uuid + `","schedule_version":true}`, []string{"field_invalid schedule_version"}},
		{"backup", `[]`, []string{"params_invalid params"}},
		{"backup", `"hunter2"`, []string{"params_invalid params"}},
		{"backup", `{`, []string{"params_invalid params"}},
		{"backup", `{"a"}`, []string{"params_invalid params"}},
		{"backup", `{` + good + `}{}`, []string{"params_invalid params"}},
		{"backup", `{` + good + `} x`, []string{"params_invalid params"}},
		{"backup", `{` + good + `,"schedule_version":2}`, []string{"params_invalid params"}},
		{"init", `{"repository_id":"` + uuid + `","location":"rclone:hunter2:"}`, []string{"unknown_field location"}},
		{"locks", `{"repository_id":["` + uuid + `"]}`, []string{"field_invalid repository_id"}},
	}
	for _, test := range tests {
		_, err := restic.ValidateParams(test.operation, json.RawMessage(test.params))
		var list restic.Errors
		if !errors.As(err, &list) {
			t.Errorf("%s %s: got %v", test.operation, test.params, err)
			continue
		}
		var got []string
		for _, e := range list {
			got = append(got, string(e.Code)+" "+e.Field)
			if e.Message == "" {
				t.Errorf("%s %s: no message", test.operation, test.params)
			}
			if strings.Contains(e.Error()+e.Next, "hunter2") {
				t.Errorf("%s: the value is repeated: %v", test.params, e)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s %s:\n%s", test.operation, test.params, diff)
		}
		if restic.CodeOf(err) != list[0].Code {
			t.Errorf("CodeOf gives %s", restic.CodeOf(err))
		}
	}
}

func FuzzParams(f *testing.F) {
	f.Add("backup", []byte(`{"schedule_id":"`+uuid+`","schedule_version":1}`))
	f.Add("init", []byte(`{"repository_id":null}`))
	f.Add("backup", []byte(`{"a":{"b":[{}]}}`))
	f.Fuzz(func(t *testing.T, operation string, raw []byte) {
		params, err := restic.ValidateParams(operation, raw)
		if err == nil && !params.Has("repository_id") && !params.Has("schedule_id") {
			t.Errorf("%s %q was accepted", operation, raw)
		}
	})
}
