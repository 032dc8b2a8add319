package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"restic-manager/server/fleet"
)

const (
	maxDepth    = 32 // of JSON
	bodyTimeout = 30 * time.Second
)

// limits is how much of a body is read: as it travels, and decompressed.
type limits struct{ wire, plain int64 }

func (op *operation) limits() limits {
	if op.id == "report" {
		return limits{wire: 512 << 10, plain: 4 << 20}
	}
	return limits{wire: 1 << 20, plain: 1 << 20}
}

// intake reads the body within its limits, puts it back for the next to read and
// gives its digest, where anybody asks for that. fits tells that it needs no further
// check. A body that is no JSON is left to its handler, with the limit
// around it. An empty one passes: whether there must be one is the contract's word.
func (op *operation) intake(w http.ResponseWriter, r *http.Request) (digest string, fits bool, err error) {
	if r.Body == nil || r.Body == http.NoBody {
		return "", false, nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, op.limits().wire)
	if !op.json {
		return "", false, nil
	}
	data, err := readPlain(r, op.limits().plain)
	if err != nil {
		return "", false, err
	}
	r.ContentLength = int64(len(data))
	r.Body = io.NopCloser(bytes.NewReader(data))
	if len(data) == 0 {
		return "", false, nil
	}
	if op.repeatable {
		sum := sha256.Sum256(data)
		digest = hex.EncodeToString(sum[:])
	}
	fits, err = op.checkBody(r, data)
	return digest, fits, err
}

func (op *operation) checkBody(r *http.Request, data []byte) (fits bool, err error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" { //guard:json-only
		return false, fleet.Errorf(fleet.Invalid, "The body must be sent with the header Content-Type: application/json.").At("Content-Type")
	}
	if op.handChecked() {
		return false, nil
	}
	if op.form != nil && op.form.fits(data) {
		return true, nil
	}
	return false, checkJSON(data)
}

// readPlain reads a whole body, decompressed.
func readPlain(r *http.Request, limit int64) ([]byte, error) {
	var body io.Reader = r.Body
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		plain, err := gzip.NewReader(body)
		if err != nil {
			return nil, bodyError(err)
		}
		body = plain
		r.Header.Del("Content-Encoding")
	default:
		return nil, fleet.Errorf(fleet.Invalid, "A body may be sent plain or with gzip, in no other encoding.").At("Content-Encoding")
	}
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, bodyError(err)
	}
	if int64(len(data)) > limit { //guard:body-limit
		return nil, &http.MaxBytesError{Limit: limit}
	}
	return data, nil
}

func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return fleet.Wrap(fleet.Invalid, err, "The body did not arrive whole.")
}

// checkJSON refuses what decoders read in different ways, or at a price: bytes that
// are not UTF-8, more than one value, members that occur twice, deep nesting, and
// NUL characters, which no column can hold.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return fleet.Errorf(fleet.Invalid, "The body is not UTF-8.")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := checkValue(dec, 1); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fleet.Errorf(fleet.Invalid, "The body has something after its JSON value.")
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return notJSON(err)
	}
	switch token {
	case json.Delim('{'):
		err = checkObject(dec, depth)
	case json.Delim('['):
		err = checkArray(dec, depth)
	default:
		err = checkText(token)
	}
	return err
}

func checkObject(dec *json.Decoder, depth int) error {
	if depth > maxDepth { //guard:json-depth
		return tooDeep()
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return notJSON(err)
		}
		name, _ := token.(string)
		if seen[name] { //guard:json-twice
			return fleet.Errorf(fleet.Invalid, "An object in the body has the same member twice.").At("/" + pointerPart(name))
		}
		seen[name] = true
		if err := checkText(token); err != nil {
			return err
		}
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return notJSON(err)
}

func checkArray(dec *json.Decoder, depth int) error {
	if depth > maxDepth { //guard:json-depth
		return tooDeep()
	}
	for dec.More() {
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return notJSON(err)
}

func checkText(token json.Token) error {
	if s, ok := token.(string); ok && strings.ContainsRune(s, 0) { //guard:json-nul
		return fleet.Errorf(fleet.Invalid, "A text in the body has a NUL character.")
	}
	return nil
}

func tooDeep() error {
	return fleet.Errorf(fleet.Invalid, "The body is nested deeper than %d levels.", maxDepth)
}

func notJSON(err error) error {
	if err == nil {
		return nil
	}
	return fleet.Wrap(fleet.Invalid, err, "The body is not valid JSON.")
}

// pointerPart makes a member's name fit for a JSON pointer in an answer. A name
// comes from outside too: one that looks like anything but a name is not repeated.
func pointerPart(name string) string {
	if !memberName.MatchString(name) {
		return "?"
	}
	return name
}

var memberName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)
