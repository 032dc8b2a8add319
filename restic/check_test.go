package restic_test

import (
	"strings"
	"testing"

	"restic-manager/restic"
)

func TestTags(t *testing.T) {
	for _, tag := range []string{"daily", "a.b_c:d-e", strings.Repeat("a", 64), "rm", "xrm:y"} {
		if err := restic.CheckTag(tag); err != nil {
			t.Errorf("%q: %v", tag, err)
		}
	}
	for _, tag := range []string{"", "a,b", "a b", "rm:schedule:x", "RM:job:x", "ä", "a\n", strings.Repeat("a", 65), "a=b"} {
		if err := restic.CheckTag(tag); restic.CodeOf(err) != restic.CodeTagInvalid {
			t.Errorf("%q: got %v", tag, err)
		}
	}
}

func TestSources(t *testing.T) {
	for _, path := range []string{"/", "/a b", "/a\nb", "/a\xff", `C:\Users`, "c:/x", `\\server\share`, "/--password-command=x"} {
		if err := restic.CheckSource(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, path := range []string{"", "a", "./a", "../a", "-", "--stdin", "~", "C:", "C:a", `\a`, "/a\x00b", "/" + strings.Repeat("a", 1<<16)} {
		if err := restic.CheckSource(path); restic.CodeOf(err) != restic.CodeSourceInvalid {
			t.Errorf("%.20q: got %v", path, err)
		}
	}
}

func TestExcludes(t *testing.T) {
	for _, pattern := range []string{"*.o", "/home/*/.cache", "**/node_modules", "!keep", "#x", "[#]x", "$HOME", "a b", `C:\Users\*`, "[ ]x", "\xffx"} {
		if err := restic.CheckExclude(pattern); err != nil {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	for _, pattern := range []string{"", "!", "a\nb", "a\rb", "a\x00b", " a", "a ", "\ta", "a\u00a0", "[", "a/[b", "a\\", strings.Repeat("a", 1<<16)} {
		if err := restic.CheckExclude(pattern); restic.CodeOf(err) != restic.CodeExcludeInvalid {
			t.Errorf("%.20q: got %v", pattern, err)
		}
	}
}

func TestHosts(t *testing.T) {
	for _, host := range []string{"a", "web-1.example.org", "WIN_PC", "1", strings.Repeat("a", 63)} {
		if err := restic.CheckHost(host); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	for _, host := range []string{"", "-a", "a-", "a..b", ".a", "a.", "a b", "a\n", "ä", "a/b", "--host", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a"} {
		if err := restic.CheckHost(host); err == nil {
			t.Errorf("%.20q was accepted", host)
		}
	}
}

func TestABackupReportsEveryMistake(t *testing.T) {
	err := restic.Backup{
		Sources: []string{"/ok", "relative"}, Excludes: []string{"a\nb"}, Host: "-x", Tags: []string{"rm:x"}, ScheduleID: "no", JobID: "no",
	}.Validate()
	for _, want := range []string{"sources[1]", "excludes[0]", "tags[0]", "host", "schedule_id", "job_id"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
	if restic.CodeOf(restic.Backup{Host: "h"}.Validate()) != restic.CodeSourceInvalid {
		t.Error("a backup of nothing is accepted")
	}
}

func TestOpsRefuseShortIDs(t *testing.T) {
	for _, err := range []error{
		restic.Snapshots{ID: "latest"}.Validate(),
		restic.Snapshots{ID: "198a377b"}.Validate(),
		restic.Snapshots{ID: strings.Repeat("a", 64), Host: "h"}.Validate(),
		restic.Snapshots{Tags: []string{"a,b"}}.Validate(),
		restic.Snapshots{Host: "--x"}.Validate(),
		restic.CatLock{ID: "198a377b"}.Validate(),
		restic.CatLock{}.Validate(),
	} {
		if err == nil {
			t.Error("accepted")
		}
	}
}
