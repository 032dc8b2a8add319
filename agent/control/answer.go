package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	answerLimit   = 8 << 20
	problemPrefix = "urn:restic-manager:problem:"
)

// errTooLong says that an answer goes on beyond what the server would send.
var errTooLong = fmt.Errorf("the answer is longer than %d bytes", answerLimit)

// read returns the server's answer: its body, or a *Refusal, or a *TransportError
// for all that the server did not say. It reads the response to its end.
func read(response *http.Response) ([]byte, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit+1))
	status := response.StatusCode
	switch {
	case len(body) > answerLimit:
		return nil, &TransportError{Kind: NotOurs, Status: status, Err: errTooLong}
	case status >= 300 && status < 400:
		return nil, &TransportError{Kind: Redirect, Status: status}
	case status == http.StatusProxyAuthRequired:
		return nil, &TransportError{Kind: ProxyAuth, Status: status}
	case err != nil:
		failed := explain(err)
		failed.Status = status
		return nil, failed
	}
	if refusal := problem(response, body); refusal != nil {
		return nil, refusal
	}
	if status != http.StatusOK {
		return nil, &TransportError{Kind: NotOurs, Status: status}
	}
	var marked struct {
		Protocol Marker `json:"protocol"`
	}
	if err := json.Unmarshal(body, &marked); err != nil {
		return nil, &TransportError{Kind: NotOurs, Status: status, Err: errors.New("the body is not JSON")}
	}
	if marked.Protocol != ResticManager1 { //guard:answer-marker
		return nil, &TransportError{Kind: NotOurs, Status: status, Err: errors.New("the body has no protocol marker")}
	}
	return body, nil
}

// problem returns the server's problem document, nil if the answer is none.
func problem(response *http.Response, body []byte) *Refusal {
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || media != "application/problem+json" || response.StatusCode < 400 {
		return nil
	}
	var p Problem
	if json.Unmarshal(body, &p) != nil || p.Code == "" || !strings.HasPrefix(p.Type, problemPrefix) { //guard:problem-marker
		return nil
	}
	refusal := &Refusal{Problem: p}
	if s, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && s > 0 {
		refusal.RetryAfter = time.Duration(min(s, int(24*time.Hour/time.Second))) * time.Second
	}
	return refusal
}
