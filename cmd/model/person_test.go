package model_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// person is somebody, or a program of theirs, who uses the API. Nothing is lost on
// their way but what dies with the server.
type person struct {
	plane *plane

	mu     sync.Mutex
	cookie string
}

// errAway says that there was no answer.
var errAway = errors.New("the server is away")

// problem is an error answer.
type problem struct {
	Status int
	Code   string
	Detail string
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// refusedWith reports whether an error is a problem with the code.
func refusedWith(err error, code string) bool {
	var p *problem
	return errors.As(err, &p) && p.Code == code
}

type obj map[string]any

// call sends body and reads the answer into out. A problem is a *problem; where the
// server is away, or dies before it has answered, the error is errAway.
func (p *person) call(ctx context.Context, method, path, key string, body, out any) error {
	l := p.plane.current()
	if l == nil {
		return errAway
	}
	text := []byte(nil)
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, "http://"+loopback.String()+path, bytes.NewReader(text))
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	p.mu.Lock()
	if p.cookie != "" {
		r.Header.Set("Cookie", p.cookie)
	}
	p.mu.Unlock()
	answered := make(chan *httptest.ResponseRecorder, 1)
	l.busy.Go(func() {
		w := httptest.NewRecorder()
		l.handler.ServeHTTP(w, r)
		answered <- w
	})
	select {
	case w := <-answered:
		if l.killed() {
			return errAway
		}
		return p.read(w, out)
	case <-l.dead:
		return errAway
	}
}

func (p *person) read(w *httptest.ResponseRecorder, out any) error {
	p.mu.Lock()
	for _, c := range w.Result().Cookies() {
		p.cookie = c.Name + "=" + c.Value
	}
	p.mu.Unlock()
	if w.Code >= 300 {
		refusal := &problem{Status: w.Code}
		if err := json.Unmarshal(w.Body.Bytes(), refusal); err != nil {
			return fmt.Errorf("status %d without a problem document: %w", w.Code, err)
		}
		return refusal
	}
	if out == nil || w.Body.Len() == 0 {
		return nil
	}
	return json.Unmarshal(w.Body.Bytes(), out)
}

// insist repeats a request, with the same key, until the server answers or ctx ends.
// A sign-in that has ended is renewed.
func (p *person) insist(ctx context.Context, method, path, key string, body, out any) error {
	for {
		err := p.call(ctx, method, path, key, body, out)
		var answer *problem
		waits := errors.As(err, &answer) && (answer.Status == http.StatusServiceUnavailable || answer.Code == "idempotency_in_flight")
		switch {
		case ctx.Err() != nil:
			return err
		case refusedWith(err, "sign_in_ended"), refusedWith(err, "sign_in_required"):
			if err := p.call(ctx, "POST", "/api/v1/sign-in", "", obj{"name": adminName, "password": adminPassword}, nil); err != nil && !errors.Is(err, errAway) {
				return fmt.Errorf("sign in again: %w", err)
			}
		case errors.Is(err, errAway), waits:
			sleep(ctx, 2*time.Second)
		default:
			return err
		}
	}
}

// The account of everybody.
const (
	adminName     = "admin"
	adminPassword = "correct horse battery staple"
)
