package api

import (
	"testing"

	"restic-manager/server/fleet"
)

func TestADetailOfTheAuditLogIsToldInWords(t *testing.T) {
	for doc, want := range map[fleet.Doc]string{
		"":                               "none",
		"{}":                             "none",
		`{"keep_daily":7}`:               "keep_daily 7",
		`{"a":0,"b":"","c":[],"d":null}`: "none",
		`{"hooks":{"before":"stop-db","timeout_s":600},"catch_up":"latest"}`:                             "catch_up latest, hooks.before stop-db, hooks.timeout_s 600",
		`{"windows":[{"days":["mon","tue"],"from":"22:00","to":"06:00"},{"from":"12:00","to":"13:00"}]}`: "windows (days mon + tue, from 22:00, to 06:00) + (from 12:00, to 13:00)",
		`{"to":["a@b.test","x, enabled false"],"on":false}`:                                              `on false, to a@b.test + "x, enabled false"`,
		`{`: `"{"`,
	} {
		if got := plainly(doc); got != want {
			t.Errorf("%s is told as %s, want %s", doc, got, want)
		}
	}
	if got := listed([]string{"/etc", "/srv/a; enabled false", "\x1b"}); got != `/etc + "/srv/a; enabled false" + "\x1b"` {
		t.Errorf("listed as %s", got)
	}
}
