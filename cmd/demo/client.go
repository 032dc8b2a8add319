package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"time"
)

// client speaks openapi.yaml as anybody's script would.
type client struct {
	base string
	http *http.Client
}

func newClient(base string) *client {
	jar, _ := cookiejar.New(nil) // never fails
	return &client{base: base, http: &http.Client{Jar: jar, Timeout: 60 * time.Second}}
}

// call sends a body as JSON, if there is one, and reads the answer into out, if it
// is wanted. A problem becomes an error with its code and detail.
func (c *client) call(ctx context.Context, method, path string, body, out any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		var p struct{ Code, Detail string }
		_ = json.Unmarshal(answer, &p) // an answer that is no problem is told by its status
		return fmt.Errorf("%s %s: %s %s %s", method, path, res.Status, p.Code, p.Detail)
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, out)
}
