package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"restic-manager/server/api"
)

// problem is an error answer of the contract.
type problem api.Problem

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// is tells whether an error is a problem with the code.
func is(err error, code string) bool {
	var p *problem
	return errors.As(err, &p) && p.Code == code
}

// get reads from the contract.
func get[T any](v *visit, path string, query url.Values) (T, error) {
	var out T
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return out, v.call(http.MethodGet, path, nil, &out)
}

// send changes something by the contract and reads the answer.
func send[T any](v *visit, method, path string, body any) (T, error) {
	var out T
	return out, v.call(method, path, body, &out)
}

// passed are the headers of the browser that the contract judges by: who it is,
// from where, whether another site sent it, and whether a person did or the page.
var passed = []string{"Cookie", "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "X-Forwarded-For", "X-Forwarded-Proto", "User-Agent"}

// call asks the contract in this process, as the viewer. Cookies that the answer
// sets go on to the browser.
func (v *visit) call(method, path string, body, out any) error {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(v.r.Context(), method, path, &text)
	if err != nil {
		return err
	}
	r.Host, r.RemoteAddr, r.TLS, r.RequestURI = v.r.Host, v.r.RemoteAddr, v.r.TLS, path
	for _, name := range passed {
		r.Header[name] = v.r.Header[name]
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	a := &answer{header: http.Header{}, status: http.StatusOK}
	v.u.api.ServeHTTP(a, r)
	for _, c := range a.header["Set-Cookie"] {
		v.w.Header().Add("Set-Cookie", c)
	}
	if a.status >= 300 {
		return a.problem()
	}
	if out == nil || a.body.Len() == 0 {
		return nil
	}
	if err := json.Unmarshal(a.body.Bytes(), out); err != nil {
		return fmt.Errorf("read the answer of %s %s: %w", method, path, err)
	}
	return nil
}

// answer takes in what the contract's handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

func (a *answer) problem() error {
	p := &problem{}
	if err := json.Unmarshal(a.body.Bytes(), p); err != nil || p.Code == "" {
		return fmt.Errorf("the contract answered %d without a problem document", a.status)
	}
	p.Status = a.status
	return p
}

// mistakes finds what a problem says of the fields of a form, by the field's name:
// the first part of the pointer. ok is false when the problem is not about fields.
func mistakes(err error) (byField map[string]string, ok bool) {
	var p *problem
	if !errors.As(err, &p) || (p.Field == "" && len(p.Fields) == 0) {
		return nil, false
	}
	byField = map[string]string{}
	for _, f := range p.Fields {
		byField[fieldName(f.Field)] = f.Detail
	}
	if p.Field != "" && byField[fieldName(p.Field)] == "" {
		byField[fieldName(p.Field)] = p.Detail
	}
	return byField, true
}

func fieldName(pointer string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	return name
}
