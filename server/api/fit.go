package api

import (
	"regexp"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
)

// A form is a schema that a body can be held against in one pass, without decoding
// it. What it says is one-sided: a body that fits would also pass checkJSON and the
// contract's validator, and those are spared for what comes by the hundred a second;
// one that does not is looked at by them, who know why. So a form takes only the plain
// case: members that it knows, each once, texts in ASCII without escapes, whole
// numbers. A schema that asks for more than forms know has none.
type form struct {
	kind     string // object, array, string, integer or boolean
	members  map[string]member
	required uint64 // bits of members
	items    *form
	most     int // characters or entries
	least    int64
	greatest int64
	format   func(string) bool
}

type member struct {
	form *form
	bit  uint64
}

const anyNumber = 1e15 // whole numbers below it have one meaning for every decoder

// newForm makes the form of a schema; nil when there is none.
func newForm(ref *openapi3.SchemaRef) *form {
	s := ref.Value
	if s.Nullable || s.Default != nil || s.ReadOnly || s.WriteOnly || s.UniqueItems || s.MultipleOf != nil || s.MinItems > 0 || s.Enum != nil ||
		len(s.OneOf)+len(s.AnyOf)+len(s.AllOf) > 0 || s.Not != nil || s.MinProps > 0 || s.MaxProps != nil || s.Discriminator != nil ||
		s.AdditionalProperties.Schema != nil || s.ExclusiveMin.IsSet() || s.ExclusiveMax.IsSet() || len(s.Type.Slice()) != 1 {
		return nil
	}
	f := &form{kind: s.Type.Slice()[0], most: 1 << 20, least: -anyNumber, greatest: anyNumber}
	ok := true
	switch f.kind {
	case "object":
		ok = f.takeMembers(s)
	case "array":
		if s.MaxItems != nil {
			f.most = int(*s.MaxItems)
		}
		f.items = newForm(s.Items)
		ok = f.items != nil
	case "string":
		ok = f.takeText(s)
	case "integer":
		if s.Min != nil {
			f.least = int64(*s.Min)
		}
		if s.Max != nil {
			f.greatest = int64(*s.Max)
		}
		ok = s.Format == "" || s.Format == "int64"
	case "boolean":
	default:
		ok = false
	}
	if !ok {
		return nil
	}
	return f
}

// takeMembers leaves out members that have no form: a body with one does not fit.
func (f *form) takeMembers(s *openapi3.Schema) bool {
	if len(s.Properties) == 0 || len(s.Properties) > 64 {
		return false
	}
	f.members = map[string]member{}
	for name, ref := range s.Properties {
		if inner := newForm(ref); inner != nil {
			f.members[name] = member{inner, 1 << len(f.members)}
		}
	}
	for _, name := range s.Required {
		if f.members[name].form == nil {
			return false
		}
		f.required |= f.members[name].bit
	}
	return true
}

func (f *form) takeText(s *openapi3.Schema) bool {
	if s.MaxLength != nil {
		f.most = int(*s.MaxLength)
	}
	f.least = int64(s.MinLength)
	switch {
	case s.Format == "date-time" && s.Pattern == "":
		f.format = plainTime
	case s.Format != "":
		return false
	case s.Pattern == idPattern:
		f.format = plainID
	case s.Pattern != "":
		pattern, err := regexp.Compile(s.Pattern)
		if err != nil {
			return false
		}
		f.format = pattern.MatchString
	}
	return true
}

// fits tells whether a body is of the form.
func (f *form) fits(body []byte) bool {
	r := reader{body, 0}
	return r.value(f, 1) && r.next() == 0
}

// reader goes through a body. Its methods tell whether it was as wanted.
type reader struct {
	body []byte
	at   int
}

// next skips white space and gives the character there, 0 at the end. A NUL in the
// body is taken for the end, and is not the end.
func (r *reader) next() byte {
	for ; r.at < len(r.body); r.at++ {
		switch c := r.body[r.at]; c {
		case ' ', '\t', '\n', '\r':
		case 0:
			return 1
		default:
			return c
		}
	}
	return 0
}

func (r *reader) take(c byte) bool {
	if r.next() != c {
		return false
	}
	r.at++
	return true
}

func (r *reader) value(f *form, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch f.kind {
	case "object":
		return r.object(f, depth)
	case "array":
		return r.array(f, depth)
	case "string":
		text, ok := r.text()
		return ok && len(text) <= f.most && int64(len(text)) >= f.least && (f.format == nil || f.format(text))
	case "integer":
		return r.integer(f)
	}
	return r.word("true") || r.word("false")
}

func (r *reader) object(f *form, depth int) bool {
	if !r.take('{') {
		return false
	}
	var seen uint64
	for first := true; ; first = false {
		if r.take('}') {
			return seen&f.required == f.required
		}
		if !first && !r.take(',') {
			return false
		}
		name, ok := r.text()
		m := f.members[name]
		if !ok || m.form == nil || seen&m.bit != 0 || !r.take(':') || !r.value(m.form, depth+1) {
			return false
		}
		seen |= m.bit
	}
}

func (r *reader) array(f *form, depth int) bool {
	if !r.take('[') {
		return false
	}
	for n := 0; ; n++ {
		if r.take(']') {
			return true
		}
		if n == f.most || n > 0 && !r.take(',') || !r.value(f.items, depth+1) {
			return false
		}
	}
}

// text reads a text that means what is written.
func (r *reader) text() (string, bool) {
	if !r.take('"') {
		return "", false
	}
	for start := r.at; r.at < len(r.body); r.at++ {
		switch c := r.body[r.at]; {
		case c == '"':
			r.at++
			return string(r.body[start : r.at-1]), true
		case c == '\\' || c < ' ' || c > '~':
			return "", false
		}
	}
	return "", false
}

func (r *reader) integer(f *form) bool {
	r.next()
	start := r.at
	for r.at < len(r.body) && (r.body[r.at] == '-' || r.body[r.at] >= '0' && r.body[r.at] <= '9') {
		r.at++
	}
	digits := r.body[start:r.at]
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return false
	}
	n, err := strconv.ParseInt(string(r.body[start:r.at]), 10, 64)
	return err == nil && n >= f.least && n <= f.greatest && n > -anyNumber && n < anyNumber
}

func (r *reader) word(word string) bool {
	r.next()
	if len(r.body)-r.at < len(word) || string(r.body[r.at:r.at+len(word)]) != word {
		return false
	}
	r.at += len(word)
	return true
}

// idPattern is the contract's pattern of ids.
const idPattern = `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`

func plainID(text string) bool { return shaped(text, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh") }

// plainTime takes RFC 3339 in UTC, as agents write it.
func plainTime(text string) bool {
	const seconds = "dddd-dd-ddTdd:dd:dd"
	if len(text) <= len(seconds) || !shaped(text[:len(seconds)], seconds) || text[len(text)-1] != 'Z' {
		return false
	}
	if part := text[len(seconds) : len(text)-1]; part != "" {
		if len(part) < 2 || len(part) > 10 || part[0] != '.' {
			return false
		}
		for _, c := range part[1:] {
			if c < '0' || c > '9' {
				return false
			}
		}
	}
	within := func(at int, from, to string) bool { return text[at:at+2] >= from && text[at:at+2] <= to }
	// What the end of a month is, the decoder knows.
	return within(5, "01", "12") && within(8, "01", "31") && within(11, "00", "23") && within(14, "00", "59") && within(17, "00", "59")
}

// shaped holds a text against a pattern of h for a hexadecimal digit in lower case and
// d for a digit.
func shaped(text, pattern string) bool {
	if len(text) != len(pattern) {
		return false
	}
	for i := range len(text) {
		c := text[i]
		digit := c >= '0' && c <= '9'
		switch pattern[i] {
		case 'h':
			if !digit && (c < 'a' || c > 'f') {
				return false
			}
		case 'd':
			if !digit {
				return false
			}
		default:
			if c != pattern[i] {
				return false
			}
		}
	}
	return true
}
