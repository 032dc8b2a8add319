package auth_test

import (
	"net/http"
	"net/netip"
	"testing"

	"restic-manager/server/auth"
)

func TestTheClientIsWhoTrustedProxiesSay(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"nobody between", "192.0.2.1:5000", nil, "192.0.2.1"},
		{"a stranger's header", "192.0.2.1:5000", []string{"198.51.100.9"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:5000", []string{"198.51.100.9"}, "198.51.100.9"},
		{"a client that forges", "10.0.0.1:5000", []string{"1.1.1.1, 198.51.100.9"}, "198.51.100.9"},
		{"two proxies", "10.0.0.1:5000", []string{"198.51.100.9, 10.0.0.2"}, "198.51.100.9"},
		{"two headers", "10.0.0.1:5000", []string{"1.1.1.1", "198.51.100.9"}, "198.51.100.9"},
		{"only proxies", "10.0.0.1:5000", []string{"10.0.0.3"}, "10.0.0.3"},
		{"no header", "10.0.0.1:5000", nil, "10.0.0.1"},
		{"nonsense", "10.0.0.1:5000", []string{"unknown"}, "10.0.0.1"},
		{"mapped IPv4", "[::ffff:10.0.0.1]:5000", []string{"::ffff:198.51.100.9"}, "198.51.100.9"},
		{"IPv6", "[::1]:5000", []string{"2001:db8::7"}, "2001:db8::7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
			if got := auth.ClientAddress(r, trusted); got.String() != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
