package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-retryablehttp"
)

// How long requests may take in all.
const (
	parkedGrace  = 15 * time.Second // beyond the hold
	reportLimit  = 2 * time.Minute  // half a megabyte over a slow line
	requestLimit = 30 * time.Second
)

// build makes a request for one path of the contract; all of the generated
// constructors have, or are given, this form.
type build func(server, contentType string, body io.Reader) (*http.Request, error)

// call is a request to be made.
type call struct {
	build    build
	media    string        // of the body
	limit    time.Duration // of one attempt
	hold     time.Duration // of a parked request, else 0
	retry    bool
	unsigned bool // without the agent's identity
}

const mediaJSON = "application/json"

// exchange sends message as JSON and returns the body of the answer, which the
// server's time was read from.
func (l *Link) exchange(ctx context.Context, message any, c call) ([]byte, error) {
	if message == nil {
		return l.exchangeBody(ctx, &payload{}, c)
	}
	body, err := prepare(message)
	if err != nil {
		return nil, err
	}
	c.media = mediaJSON
	return l.exchangeBody(ctx, body, c)
}

func prepare(message any) (*payload, error) {
	text, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return &payload{plain: text}, nil
}

// exchangeBody is exchange with a body that is made already.
func (l *Link) exchangeBody(ctx context.Context, body *payload, c call) ([]byte, error) {
	began := time.Now()
	answer, err := l.send(ctx, body, c)
	if err != nil {
		return nil, describe(ctx, err, time.Since(began), c.hold)
	}
	l.clock.observe(began, time.Now(), answer)
	return answer, nil
}

// describe adds what only the caller of a failed exchange knows. A context that
// the caller ended is no failure of the network.
func describe(ctx context.Context, err error, elapsed, hold time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var transport *TransportError
	if errors.As(err, &transport) {
		transport.Elapsed, transport.Hold = elapsed, hold
	}
	return err
}

// send makes the request and reads the answer.
func (l *Link) send(ctx context.Context, body *payload, c call) ([]byte, error) {
	encoded, compressed := body.plain, false
	if c.media == mediaJSON {
		var err error
		if encoded, compressed, err = l.encoding.encode(body, time.Now()); err != nil {
			return nil, err
		}
	}
	request, err := l.request(c, encoded, compressed)
	if err != nil {
		return nil, err
	}
	var answer []byte
	if c.retry {
		answer, err = l.roundTrips(ctx, c, request)
	} else {
		answer, err = l.roundTrip(ctx, c, request)
	}
	if compressed {
		l.encoding.observe(time.Now(), err)
	}
	return answer, err
}

// request makes the HTTP request. The Idempotency-Key is true of all our requests,
// and lets the transport repeat one whose connection was closed before it was used.
func (l *Link) request(c call, body []byte, compressed bool) (*http.Request, error) {
	request, err := c.build(l.server, c.media, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	h := request.Header
	h.Set("Accept", "application/json, application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Idempotency-Key", uuid.NewString())
	h.Set("User-Agent", l.userAgent)
	if compressed {
		h.Set("Content-Encoding", "gzip")
	}
	if !c.unsigned {
		l.mu.Lock()
		h.Set("Authorization", "Bearer "+l.hostID+"."+l.secret.Reveal())
		l.mu.Unlock()
	}
	return request, nil
}

// roundTrip makes the request once.
func (l *Link) roundTrip(ctx context.Context, c call, request *http.Request) ([]byte, error) {
	client := l.others
	if c.hold > 0 {
		client = l.parked
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	response, err := client.Do(request.WithContext(ctx))
	if err != nil {
		return nil, l.afterFailure(client, explain(err))
	}
	answer, err := read(response)
	return answer, l.afterFailure(client, err)
}

// roundTrips makes the request until it is answered or the retries are used up.
func (l *Link) roundTrips(ctx context.Context, c call, request *http.Request) ([]byte, error) {
	retryable, err := retryablehttp.FromRequest(request.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	response, err := l.retrying.Do(retryable)
	if err != nil {
		return nil, l.afterFailure(l.others, explain(err))
	}
	answer, err := read(response)
	return answer, l.afterFailure(l.others, err)
}

// afterFailure gives up the idle connections after a time-out: they may be as dead
// as the one that said nothing.
func (l *Link) afterFailure(client *http.Client, err error) error {
	var transport *TransportError
	if errors.As(err, &transport) && transport.Kind == Timeout {
		client.CloseIdleConnections()
	}
	return err
}

// decode reads the server's answer into the contract's type.
func decode[T any](answer []byte, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	into := new(T)
	if err := json.Unmarshal(answer, into); err != nil {
		// It has the marker, so it is the server's, and newer than we understand.
		return nil, fmt.Errorf("understand the server's answer: %w", err)
	}
	return into, nil
}
