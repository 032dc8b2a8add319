package restic

import (
	"strings"
	"testing"
)

func TestTheCredentialOfTheOtherSideOfACopyIsRedactedAsItTravels(t *testing.T) {
	from := Access{Username: "reader", RESTPassword: NewSecret("swordfish")}
	access := Access{Username: "writer", RESTPassword: NewSecret("hunter2"), From: &from}
	said := New(Config{}).redactorFor(access).text("Authorization: Basic cmVhZGVyOnN3b3JkZmlzaA== and d3JpdGVyOmh1bnRlcjI=") // reader:swordfish, writer:hunter2
	if want := "Authorization: Basic " + redacted + " and " + redacted; said != want {
		t.Errorf("got %q, want %q", said, want)
	}
	if said := New(Config{}).redactorFor(Access{From: &Access{}}).text("nothing is secret here"); said != "nothing is secret here" {
		t.Errorf("got %q", said)
	}
}

func TestTheProxysPasswordIsRedactedHoweverItsAddressIsWritten(t *testing.T) {
	for address, password := range map[string]string{
		"http://user:hunter2@proxy.test:3128":    "hunter2",
		"http://user:hun%74er2@proxy.test:3128":  "hunter2",
		"http://user:hunter%zz2@proxy.test:3128": "hunter%zz2", // no URL
		"user:hunter2@proxy.test:3128":           "hunter2",    // read as http
		"http://user:hun@ter2@proxy.test:3128":   "hun@ter2",
	} {
		r := New(Config{HTTPSProxy: NewSecret(address)})
		said := r.redactorFor(Access{}).text("proxyconnect: invalid address " + address + ", password " + password)
		if strings.Contains(said, password) || strings.Contains(said, "er2@") {
			t.Errorf("%s: %s", address, said)
		}
	}
	if got := proxyPasswords("http://proxy.test:3128"); len(got) != 0 {
		t.Errorf("a proxy without a password has %q", got)
	}
}
