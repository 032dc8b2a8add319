package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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

// part reads what a page can do without. ok is false where the contract cannot tell
// it now; the page then says that it is not known.
func part[T any](v *visit, path string, query url.Values) (out T, ok bool, err error) {
	out, err = get[T](v, path, query)
	var p *problem
	if errors.As(err, &p) && (p.Status == http.StatusNotFound || p.Status >= 500) {
		v.u.log.WarnContext(v.r.Context(), "part of a page is not known", "path", v.r.URL.Path, "part", path, "code", p.Code)
		return out, false, nil
	}
	return out, err == nil, err
}

// everything reads a list page by page to its end; read takes a page and gives the
// token of the next. It stops at most pages, far beyond what a person chooses from.
func everything(query url.Values, read func(url.Values) (next string, err error)) error {
	const most = 100
	query.Set("page_size", "200")
	for range most {
		next, err := read(query)
		if err != nil || next == "" {
			return err
		}
		query.Set("page_token", next)
	}
	return nil
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

// mistake is what a problem says of one field, by the pointer to it.
type mistake struct{ pointer, detail string }

// mistakes finds what a problem says of the fields of a form. ok is false when the
// problem is not about fields.
func mistakes(err error) (list []mistake, ok bool) {
	var p *problem
	if !errors.As(err, &p) || (p.Field == "" && len(p.Fields) == 0) {
		return nil, false
	}
	for _, f := range p.Fields {
		list = append(list, mistake{f.Field, f.Detail})
	}
	if len(list) == 0 {
		list = append(list, mistake{p.Field, p.Detail})
	}
	return list, true
}

// fieldOf finds the form's field that a pointer leads to or into: its last part that
// the form has. "/options/windows/0/from" leads into "windows".
func fieldOf(pointer string, shown []string) (name string, ok bool) {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if slices.Contains(shown, parts[i]) {
			return parts[i], true
		}
	}
	return "", false
}
