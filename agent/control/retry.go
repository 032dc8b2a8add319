package control

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	retryMost = 3
	retryWait = time.Second
	retryCap  = 10 * time.Second
)

// retryClient repeats requests that the network lost or that the server, or a box
// before it, was too busy for. Each attempt has its own time limit.
func retryClient(once *http.Client, random func() float64) *retryablehttp.Client {
	limited := *once
	limited.Timeout = requestLimit
	return &retryablehttp.Client{
		HTTPClient:   &limited,
		RetryMax:     retryMost,
		CheckRetry:   worthRetrying,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
		Backoff: func(_, _ time.Duration, attempt int, response *http.Response) time.Duration {
			return retryPause(attempt, response, random())
		},
	}
}

// worthRetrying decides by status alone: the server's refusals are final, but for
// those that ask for patience.
func worthRetrying(ctx context.Context, response *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		return explain(err).Kind != TLS, nil
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true, nil
	}
	return false, nil
}

// retryPause doubles from attempt to attempt, with half of it drawn by lot, and is
// never below what the answer asks for.
func retryPause(attempt int, response *http.Response, random float64) time.Duration {
	pause := min(retryCap, retryWait<<attempt)
	pause = pause/2 + time.Duration(random*float64(pause/2))
	if response == nil {
		return pause
	}
	if s, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && s > 0 {
		return min(retryAfterCap, max(pause, time.Duration(min(s, 3600))*time.Second))
	}
	return pause
}
