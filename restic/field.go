package restic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// FieldType says which JSON a field takes and how a form shows it.
type FieldType string

// The types of fields. Lists are JSON arrays of the named kind.
const (
	FieldString     FieldType = "string"
	FieldInt        FieldType = "int"
	FieldBool       FieldType = "bool"
	FieldUUID       FieldType = "uuid"
	FieldSnapshotID FieldType = "snapshot_id" // 64 hexadecimal digits, never a short form
	FieldPath       FieldType = "path"

	FieldStringList     FieldType = "string_list"
	FieldPathList       FieldType = "path_list"
	FieldSnapshotIDList FieldType = "snapshot_id_list"
)

// Option is one allowed value of a field, with the text a form shows.
type Option struct {
	Value string
	Label string
}

// Field is one member of an operation's params. Forms, the API's description of
// operations and the validator are all made from it.
type Field struct {
	Name     string
	Type     FieldType
	Label    string
	Help     string
	Required bool

	Pattern   string   // a string, or each of a list, matches it as a whole
	MaxLength int      // bytes of a string, or of each of a list; 0 is defaultMaxLength
	MaxItems  int      // of a list; 0 is defaultMaxItems
	Min, Max  int64    // of an int; both 0 means no limits
	Options   []Option // if any, a string is one of them

	Unit    string // of an int, as it stands behind the number
	Default string // what holds where it is left out: one of the Options, else words
	Rare    bool   // few people need it: forms show it when they are asked to

	From []Source // where its values are found; empty: nobody has listed them
}

// Source is where values of a field are found: in a column of the rows that the last job of
// an operation has listed.
type Source struct {
	Operation string
	Column    string
	Prefix    string // what stands before the value; a row without it is about something else
}

const (
	defaultMaxLength = 4096
	defaultMaxItems  = 1000
)

// Params are the checked params of a job, by field name.
type Params struct {
	values map[string]any
}

// String returns a string, uuid, snapshot id or path field, "" when absent.
func (p Params) String(name string) string { s, _ := p.values[name].(string); return s }

// Int returns an int field, 0 when absent.
func (p Params) Int(name string) int64 { n, _ := p.values[name].(int64); return n }

// Bool returns a bool field, false when absent.
func (p Params) Bool(name string) bool { b, _ := p.values[name].(bool); return b }

// Strings returns a copy of a list field, nil when absent.
func (p Params) Strings(name string) []string {
	list, _ := p.values[name].([]string)
	return slices.Clone(list)
}

// Has reports whether the field was given.
func (p Params) Has(name string) bool { _, ok := p.values[name]; return ok }

// Values is a copy of all that are present, by name.
func (p Params) Values() map[string]any { return maps.Clone(p.values) }

// ValidateParams checks the params of a job against the operation's fields.
// Absent or empty raw means no params. The error is an [Errors] with every
// mistake found, none of which repeats a value.
func ValidateParams(operation string, raw json.RawMessage) (Params, error) {
	op, ok := OperationNamed(operation)
	if !ok { //guard:restic-operation
		return Params{}, Errors{{
			Code:    CodeUnknownOperation,
			Message: "there is no such operation",
			Next:    "choose one of: " + strings.Join(operationNames(), ", "),
		}}
	}
	params, err := validateFields(op.Fields, raw)
	if err == nil && op.check != nil {
		err = op.check(params)
	}
	if err != nil {
		return Params{}, err
	}
	return params, nil
}

func validateFields(fields []Field, raw json.RawMessage) (Params, error) {
	members, err := objectMembers(raw)
	if err != nil {
		return Params{}, Errors{err}
	}
	var errs Errors
	for _, name := range sortedNames(members) {
		if !slices.ContainsFunc(fields, func(f Field) bool { return f.Name == name }) { //guard:restic-field
			errs = append(errs, unknownField(name, fields))
		}
	}
	params := Params{values: map[string]any{}}
	for _, field := range fields {
		value, ok := members[field.Name]
		if !ok || string(value) == "null" {
			if field.Required {
				errs = append(errs, &Error{Code: CodeFieldRequired, Field: field.Name, Message: "is required", Next: field.Help})
			}
			continue
		}
		decoded, problem := field.decode(value)
		if problem != "" {
			errs = append(errs, &Error{Code: CodeFieldInvalid, Field: field.Name, Message: problem, Next: field.Help})
			continue
		}
		params.values[field.Name] = decoded
	}
	if err := errs.orNil(); err != nil {
		return Params{}, err
	}
	return params, nil
}

// unknownField names the member, cut and quoted, since the name itself comes
// from outside.
func unknownField(name string, fields []Field) *Error {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.Name
	}
	next := "this operation takes no params"
	if len(known) > 0 {
		next = "this operation takes only: " + strings.Join(known, ", ")
	}
	return &Error{Code: CodeUnknownField, Field: printableName(name), Message: "is not a field of this operation", Next: next}
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func printableName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	if len(name) > 64 {
		name = name[:64]
	}
	return fmt.Sprintf("%+q", name)
}

func sortedNames(members map[string]json.RawMessage) []string {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// objectMembers splits one JSON object and nothing after it. encoding/json would
// let a second member of the same name win silently; here it is an error.
func objectMembers(raw json.RawMessage) (map[string]json.RawMessage, *Error) {
	members := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(raw)) == 0 || string(bytes.TrimSpace(raw)) == "null" {
		return members, nil
	}
	invalid := func(message string) *Error {
		return &Error{Code: CodeParamsInvalid, Field: "params", Message: message, Next: "send params as one JSON object"}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, invalid("is not a JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return nil, invalid("is not valid JSON")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, invalid("is not valid JSON")
		}
		if _, twice := members[name]; twice { //guard:restic-field-twice
			return nil, invalid("has a member twice: " + printableName(name))
		}
		members[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, invalid("is not valid JSON")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, invalid("has something after the object")
	}
	return members, nil
}

// decode returns the value as string, int64, bool or []string, or what is wrong
// with it in words that do not repeat it.
func (f Field) decode(raw json.RawMessage) (any, string) {
	switch f.Type {
	case FieldInt:
		return f.decodeInt(raw)
	case FieldBool:
		var b bool
		if json.Unmarshal(raw, &b) != nil {
			return nil, "must be true or false"
		}
		return b, ""
	case FieldStringList, FieldPathList, FieldSnapshotIDList:
		return f.decodeList(raw)
	default:
		var s string
		if json.Unmarshal(raw, &s) != nil || !utf8.Valid(raw) {
			return nil, "must be a string"
		}
		return f.checkString(s)
	}
}

func (f Field) decodeInt(raw json.RawMessage) (any, string) {
	var n json.Number
	if len(raw) > 0 && raw[0] == '"' || json.Unmarshal(raw, &n) != nil {
		return nil, "must be a whole number"
	}
	i, err := n.Int64()
	if err != nil {
		return nil, "must be a whole number"
	}
	low, high := f.Min, f.Max
	if low == 0 && high == 0 {
		low, high = math.MinInt64, math.MaxInt64
	}
	if i < low || i > high {
		return nil, fmt.Sprintf("must be from %d to %d", low, high)
	}
	return i, ""
}

func (f Field) decodeList(raw json.RawMessage) (any, string) {
	var list []string
	if json.Unmarshal(raw, &list) != nil || !utf8.Valid(raw) {
		return nil, "must be a list of strings"
	}
	limit := f.MaxItems
	if limit == 0 {
		limit = defaultMaxItems
	}
	if len(list) > limit {
		return nil, fmt.Sprintf("has more than %d entries", limit)
	}
	for i, s := range list {
		checked, problem := f.checkString(s)
		if problem != "" {
			return nil, fmt.Sprintf("entry %d %s", i+1, problem)
		}
		list[i] = checked
	}
	return list, ""
}

var (
	uuidPattern   = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	fullIDPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// matches reports whether pattern matches the whole of s. Patterns are written in
// this package, so one that does not compile is a mistake of ours.
func matches(pattern, s string) bool {
	return regexp.MustCompile(`\A(?:` + pattern + `)\z`).MatchString(s)
}

func (f Field) checkString(s string) (string, string) {
	limit := f.MaxLength
	if limit == 0 {
		limit = defaultMaxLength
	}
	switch {
	case len(s) > limit:
		return "", fmt.Sprintf("is longer than %d bytes", limit)
	case f.Required && s == "":
		return "", "must not be empty"
	case strings.ContainsRune(s, 0):
		return "", "must not contain a NUL character"
	}
	switch f.Type {
	case FieldUUID:
		if s = strings.ToLower(s); !uuidPattern.MatchString(s) {
			return "", "must be a UUID"
		}
	case FieldSnapshotID, FieldSnapshotIDList:
		if !fullIDPattern.MatchString(s) {
			return "", "must be a full snapshot id of 64 hexadecimal digits"
		}
	case FieldPath, FieldPathList:
		if CheckSource(s) != nil {
			return "", "must be an absolute path"
		}
	}
	if f.Pattern != "" && !matches(f.Pattern, s) {
		return "", "does not have the required form"
	}
	if len(f.Options) > 0 && !slices.ContainsFunc(f.Options, func(o Option) bool { return o.Value == s }) {
		return "", "is not one of " + f.offered()
	}
	return s, ""
}

// offered names the values that there are.
func (f Field) offered() string {
	values := make([]string, len(f.Options))
	for i, o := range f.Options {
		values[i] = o.Value
	}
	return strings.Join(values, ", ")
}
