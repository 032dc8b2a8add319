package restic

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryTypeOfFieldIsChecked(t *testing.T) {
	id := "198a377b9b29c3e9318b554a98d602afeb1800c2e8c52a8538823af2ac9e9d5a"
	tests := []struct {
		field Field
		raw   string
		want  any // nil: refused
	}{
		{Field{Type: FieldString}, `"x"`, "x"},
		{Field{Type: FieldString}, `""`, ""},
		{Field{Type: FieldString, Required: true}, `""`, nil},
		{Field{Type: FieldString, MaxLength: 3}, `"äb"`, "äb"},
		{Field{Type: FieldString, MaxLength: 3}, `"ääb"`, nil},
		{Field{Type: FieldString}, `"a\u0000b"`, nil},
		{Field{Type: FieldString}, "\"a\xffb\"", nil},
		{Field{Type: FieldString, Pattern: `[a-z]+`}, `"abc"`, "abc"},
		{Field{Type: FieldString, Pattern: `[a-z]+`}, `"abc\n"`, nil},
		{Field{Type: FieldString, Pattern: `a|b`}, `"ab"`, nil},
		{Field{Type: FieldString, Options: []Option{{Value: "x"}}}, `"x"`, "x"},
		{Field{Type: FieldString, Options: []Option{{Value: "x"}}}, `"y"`, nil},
		{Field{Type: FieldBool}, `true`, true},
		{Field{Type: FieldBool}, `"true"`, nil},
		{Field{Type: FieldBool}, `1`, nil},
		{Field{Type: FieldInt}, `-9223372036854775808`, int64(-9223372036854775808)},
		{Field{Type: FieldInt}, `9223372036854775808`, nil},
		{Field{Type: FieldInt, Min: -1, Max: 1}, `0`, int64(0)},
		{Field{Type: FieldInt, Min: -1, Max: 1}, `2`, nil},
		{Field{Type: FieldSnapshotID}, `"` + id + `"`, id},
		{Field{Type: FieldSnapshotID}, `"` + id[:8] + `"`, nil},
		{Field{Type: FieldSnapshotID}, `"latest"`, nil},
		{Field{Type: FieldPath}, `"/a b"`, "/a b"},
		{Field{Type: FieldPath}, `"C:\\a"`, `C:\a`},
		{Field{Type: FieldPath}, `"a"`, nil},
		{Field{Type: FieldPath}, `"-/a"`, nil},
		{Field{Type: FieldStringList}, `[]`, []string{}},
		{Field{Type: FieldStringList}, `["a","b"]`, []string{"a", "b"}},
		{Field{Type: FieldStringList, MaxItems: 1}, `["a","b"]`, nil},
		{Field{Type: FieldStringList}, `["a",1]`, nil},
		{Field{Type: FieldStringList}, `"a"`, nil},
		{Field{Type: FieldPathList}, `["/a","/b"]`, []string{"/a", "/b"}},
		{Field{Type: FieldPathList}, `["/a","b"]`, nil},
	}
	for _, test := range tests {
		got, problem := test.field.decode(json.RawMessage(test.raw))
		if problem != "" {
			got = nil
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s %s (%s):\n%s", test.field.Type, test.raw, problem, diff)
		}
	}
}

func TestListsAreReturnedAsCopies(t *testing.T) {
	params, err := validateFields([]Field{{Name: "l", Type: FieldStringList}, {Name: "b", Type: FieldBool}}, json.RawMessage(`{"l":["a"],"b":true}`))
	if err != nil {
		t.Fatal(err)
	}
	params.Strings("l")[0] = "changed"
	if params.Strings("l")[0] != "a" || !params.Bool("b") {
		t.Error("params can be changed from outside")
	}
}

func TestAValueThatIsNotOfferedIsToldThoseThatAre(t *testing.T) {
	f := Field{Type: FieldString, Options: []Option{{Value: "staging"}, {Value: "in_place"}}}
	if _, problem := f.decode(json.RawMessage(`"fresh"`)); problem != "is not one of staging, in_place" {
		t.Error(problem)
	}
}
