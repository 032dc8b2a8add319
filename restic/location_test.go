package restic_test

import (
	"encoding/json"
	"strings"
	"testing"

	"restic-manager/restic"
)

func location(t testing.TB, text string) restic.Location {
	t.Helper()
	l, err := restic.ParseLocation(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return l
}

func TestLocationsHaveOneForm(t *testing.T) {
	for text, want := range map[string]string{
		"rest:https://nas.test:8000/host1/repo/": "rest:https://nas.test:8000/host1/repo/",
		"rest:https://nas.test:8000/host1/repo":  "rest:https://nas.test:8000/host1/repo/",
		"rest:https://NAS.Test/":                 "rest:https://nas.test/",
		"rest:https://nas.test":                  "rest:https://nas.test/",
		"rest:https://nas.test:443/a":            "rest:https://nas.test/a/",
		"rest:http://nas.test:80/a":              "rest:http://nas.test/a/",
		"rest:http://nas.test:443/a":             "rest:http://nas.test:443/a/",
		"rest:http://127.0.0.1:8000/a":           "rest:http://127.0.0.1:8000/a/",
		"rest:https://[2001:DB8:0::1]:8000/a":    "rest:https://[2001:db8::1]:8000/a/",
		"rest:https://[::1]/":                    "rest:https://[::1]/",
		"rest:https://xn--bcher-kva.example/a":   "rest:https://xn--bcher-kva.example/a/",
		"rest:http://rest_server:8000/a-b._~/c":  "rest:http://rest_server:8000/a-b._~/c/",
		"/srv/restic":                            "/srv/restic",
		"/srv/restic/":                           "/srv/restic",
		"/":                                      "/",
		"/srv/my repo/ä ~1":                      "/srv/my repo/ä ~1",
		`D:\restic\repo`:                         `D:\restic\repo`,
		`d:/restic/repo/`:                        `D:\restic\repo`,
		`C:\`:                                    `C:\`,
	} {
		l := location(t, text)
		if l.String() != want {
			t.Errorf("%q: got %q, want %q", text, l, want)
		}
		if again := location(t, l.String()); !again.Equal(l) || again.String() != l.String() {
			t.Errorf("%q: read again as %q", l, again)
		}
	}
}

// hostileLocations are texts that make restic run a program, leak something, or
// mean another place than they seem to.
func hostileLocations() []string {
	return []string{
		"", " ", "-", "--repo=x", "repo", "./repo", "../repo", "~/repo", "host:/path", "local:/srv/r", "file:///srv/r",
		"rclone:x:y", "rclone:remote", "sftp:user@host:/r", "sftp://host/r", "sftp:-oProxyCommand=x:/y", "s3:s3.amazonaws.com/b",
		"b2:bucket:p", "azure:c:/p", "gs:b:/p", "swift:c:/p", "REST:https://nas.test/", "Rest:http://nas.test/", "rest:", "rest:nas.test/r",
		"rest:ftp://nas.test/", "rest:HTTPS://nas.test/", "rest:https:/nas.test/", "rest:https:nas.test/", "rest:https:///r", "rest:https://",
		"rest:http+unix:///var/run/x.sock:/r", "rest:unix:/x", "rest:file:///etc",
		"rest:https://user:pass@nas.test/", "rest:https://user@nas.test/", "rest:https://@nas.test/", "rest:https://nas.test@evil.test/",
		"rest:https://nas.test/a@b", "rest:https://nas.test%40evil.test/", "rest:https://evil.test%2f@nas.test/",
		"rest:https://nas.test/?x=1", "rest:https://nas.test?x", "rest:https://nas.test/#f", "rest:https://nas.test#f",
		"rest:https://nas.test/a/../b", "rest:https://nas.test/..", "rest:https://nas.test/./a", "rest:https://nas.test/.",
		"rest:https://nas.test/%2e%2e/b", "rest:https://nas.test/a%2fb", "rest:https://nas.test/%00", "rest:https://nas.test/a%20b",
		"rest:https://nas.test//a", "rest:https://nas.test/a//", "rest:https://nas.test/a\\..\\b", `rest:https://nas.test\a`,
		"rest:https://nas.test/a b", "rest:https://nas.test/ä", "rest:https://nas.test/a;b|c`d`", "rest:https://nas.test/\"x\"",
		"rest:https://nas.test/\r\nX-Evil: 1", "rest:https://nas.test\r\n/", "rest:https://nas.test/\x00", "rest:https://nas.test/\x7f", "rest:https://nas.test/\t",
		" rest:https://nas.test/", "rest:https://nas.test/ ", "rest: https://nas.test/", "rest:https:// nas.test/",
		"rest:https://nas.test:/", "rest:https://nas.test:0/", "rest:https://nas.test:65536/", "rest:https://nas.test:080/", "rest:https://nas.test:+80/",
		"rest:https://nas.test:80:80/", "rest:https://nas.test:https/", "rest:https://nas.test:8０/", "rest:https://:8000/",
		"rest:https://nas.test./", "rest:https://.nas.test/", "rest:https://nas..test/", "rest:https://-nas.test/", "rest:https://nas-.test/",
		"rest:https://näs.test/", "rest:https://nas。test/", "rest:https://ｎas.test/", "rest:https://nas\u200b.test/", "rest:https://nas%2etest/",
		"rest:https://127.1/", "rest:https://2130706433/", "rest:https://0x7f000001/", "rest:https://0177.0.0.1/", "rest:https://127.0.0.01/",
		"rest:https://127.0.0.1.5/", "rest:https://256.0.0.1/", "rest:https://1.2.3.0x4/", "rest:https://nas.1/",
		"rest:https://[fe80::1%25eth0]/", "rest:https://[fe80::1%eth0]/", "rest:https://[::ffff:127.0.0.1]/", "rest:https://[127.0.0.1]/",
		"rest:https://[::1/", "rest:https://::1/", "rest:https://[::1]x/", "rest:https://[::1]:/", "rest:https://[]/", "rest:https://[[::1]]/", "rest:https://[nas.test]/",
		"/srv/../etc", "/srv/./r", "//srv/r", "/srv//r", "/..", "/srv/r\x00", "/srv/r\n", "/srv/\xff",
		`C:`, `C:r`, `\srv`, `\\server\share\r`, `\\?\C:\r`, `\\.\PhysicalDrive0`, `//server/share`, `1:\r`, `CC:\r`,
		`C:\a\..\b`, `C:\a\.\b`, `C:\\a`, `C:\a\\b`, `C:\a:stream`, `C:\a*`, `C:\a?`, `C:\a"b`, `C:\a|b`, `C:\a<b`,
		`C:\a.`, `C:\a `, `C:\a. \b`, `C:\PROGRA~1\r`, `C:\nul`, `C:\r\CON`, `C:\com1.txt`, `C:\LPT9`, `C:\r\aux.tar.gz`,
		"rest:https://nas.test/" + strings.Repeat("a", 4096), "/" + strings.Repeat("a/", 2048),
	}
}

func TestHostileLocationsAreRefused(t *testing.T) {
	list := hostileLocations()
	if len(list) < 40 {
		t.Fatalf("only %d", len(list))
	}
	for _, text := range list {
		l, err := restic.ParseLocation(text)
		if restic.CodeOf(err) != restic.CodeRepoLocationInvalid {
			t.Errorf("%.60q: got %q, %v", text, l, err)
			continue
		}
		if !l.IsZero() || l.String() != "" {
			t.Errorf("%.60q: refused, but gave %q", text, l)
		}
		if strings.Contains(err.Error(), "evil") || strings.Contains(err.Error(), "pass") && !strings.Contains(text, "pass") {
			t.Errorf("%.60q: the text is repeated: %v", text, err)
		}
	}
}

func TestPrefixesCannotBeTricked(t *testing.T) {
	tests := []struct {
		prefix string
		inside []string
		other  []string
	}{
		{
			"rest:https://nas.test:8000/host1/",
			[]string{"rest:https://nas.test:8000/host1/", "rest:https://NAS.test:8000/host1", "rest:https://nas.test:8000/host1/repo"},
			[]string{
				"rest:https://nas.test:8000/", "rest:https://nas.test:8000/host10/", "rest:https://nas.test:8000/host1-evil", "rest:https://nas.test:8000/HOST1/",
				"rest:http://nas.test:8000/host1/", "rest:https://nas.test/host1/", "rest:https://nas.test:80/host1/", "rest:https://nas.test:800/0/host1/",
				"rest:https://nas.test.evil.test:8000/host1/", "rest:https://xnas.test:8000/host1/", "rest:https://nas.tes:8000/host1/", "/host1",
				"rest:https://evil.test:8000/nas.test:8000/host1/",
			},
		},
		{
			"rest:https://nas.test/",
			[]string{"rest:https://nas.test/", "rest:https://nas.test:443/a", "rest:https://nas.test/a/b"},
			[]string{"rest:http://nas.test:443/", "rest:https://nas.test:8443/", "rest:https://nas/", "rest:https://nas.testing/"},
		},
		{"rest:https://[::1]:8000/a", []string{"rest:https://[0:0::1]:8000/a/b"}, []string{"rest:https://[::2]:8000/a", "rest:https://[::1]/a"}},
		{"/srv/restic", []string{"/srv/restic", "/srv/restic/", "/srv/restic/a"}, []string{"/srv", "/srv/restic2", "/srv/Restic", "/srv/res", `C:\srv\restic`}},
		{"/", []string{"/", "/srv/restic"}, []string{`C:\srv`, "rest:https://nas.test/"}},
		{
			`D:\Restic`,
			[]string{`D:\Restic`, `d:\restic\A`, `D:/RESTIC/`},
			[]string{`E:\Restic`, `D:\`, `D:\Restic2`, `D:\Restic-x\a`, "/Restic"},
		},
	}
	for _, test := range tests {
		prefix := location(t, test.prefix)
		for _, text := range test.inside {
			if !location(t, text).Under(prefix) {
				t.Errorf("%s is not under %s", text, prefix)
			}
		}
		for _, text := range test.other {
			if location(t, text).Under(prefix) {
				t.Errorf("%s is under %s", text, prefix)
			}
		}
	}
	if (restic.Location{}).Under(restic.Location{}) || location(t, "/srv").Under(restic.Location{}) {
		t.Error("something is under no place")
	}
}

func TestLocationsKnowTheirKind(t *testing.T) {
	for text, want := range map[string]struct {
		rest, encrypted bool
		path            string
	}{
		"rest:https://nas.test/a": {true, true, ""},
		"rest:http://nas.test/a":  {true, false, ""},
		"/srv/r":                  {false, true, "/srv/r"},
		`C:\r`:                    {false, true, `C:\r`},
	} {
		l := location(t, text)
		if l.REST() != want.rest || l.Encrypted() != want.encrypted || l.Path() != want.path {
			t.Errorf("%s: %v %v %q", text, l.REST(), l.Encrypted(), l.Path())
		}
	}
}

func TestLocationsTravelAsText(t *testing.T) {
	type config struct{ Location restic.Location }
	raw, err := json.Marshal(config{location(t, "rest:https://nas.test:443/a")})
	if err != nil || string(raw) != `{"Location":"rest:https://nas.test/a/"}` {
		t.Errorf("got %s, %v", raw, err)
	}
	var got config
	if err := json.Unmarshal(raw, &got); err != nil || got.Location.String() != "rest:https://nas.test/a/" {
		t.Errorf("got %v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"Location":"rclone:x:"}`), &got); restic.CodeOf(err) != restic.CodeRepoLocationInvalid {
		t.Errorf("got %v", err)
	}
	if err := json.Unmarshal([]byte(`{"Location":""}`), &got); err != nil || !got.Location.IsZero() {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzLocation(f *testing.F) {
	for _, text := range append(hostileLocations(), "rest:https://nas.test:8000/a/", "/srv/r", `C:\r`) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := restic.ParseLocation(text)
		if err != nil {
			return
		}
		again, err := restic.ParseLocation(l.String())
		if err != nil || !again.Equal(l) || again.String() != l.String() {
			t.Errorf("%q became %q became %q (%v)", text, l, again, err)
		}
		if strings.ContainsAny(l.String(), "\x00\r\n@?#%") && l.REST() || strings.Contains(l.String(), "/../") {
			t.Errorf("%q became %q", text, l)
		}
		if !l.Under(l) {
			t.Errorf("%q is not under itself", l)
		}
	})
}
