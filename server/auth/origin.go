package auth

import (
	"fmt"
	"net/http"
	"net/url"
)

// CrossOrigin makes the protection that goes around everything that takes cookies:
// a browser's request that changes something and comes from another site is given
// to deny. The public address is trusted, so that a proxy may rewrite Host.
func CrossOrigin(public *url.URL, deny http.Handler) (*http.CrossOriginProtection, error) {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(deny)
	if public != nil {
		if err := p.AddTrustedOrigin(public.Scheme + "://" + public.Host); err != nil {
			return nil, fmt.Errorf("trust the public address: %w", err)
		}
	}
	return p, nil
}
