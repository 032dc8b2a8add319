//go:build unix

package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAllowChangesNothingButTheAllowances(t *testing.T) {
	path := policyFile(t, full)
	before := mustLoad(t, path)
	// The recorded allowance may have ended by now: it goes, as documented.
	for _, a := range []Allowance{
		{What: WhatRepository, Under: "rest:https://other.test/", Until: Until(time.Now().Add(time.Hour))},
		{What: WhatSource, Under: "/opt"},
		{What: WhatSource, Under: "/opt"},
	} {
		if err := Allow(path, a); err != nil {
			t.Fatal(err)
		}
	}
	after := mustLoad(t, path)
	if len(after.Allowances) != 2 || after.AllowRepository("rest:https://other.test/x/") != nil ||
		after.AllowSources([]string{"/opt/x", "/home"}, nil) != nil {
		t.Errorf("got allowances %+v", after.Allowances)
	}
	if err := Deny(path, WhatSource, "/opt"); err != nil {
		t.Fatal(err)
	}
	if err := Deny(path, WhatRepository, "rest:https://other.test/"); err != nil {
		t.Fatal(err)
	}
	after = mustLoad(t, path)
	if len(after.Allowances) != 0 {
		t.Errorf("got allowances %+v", after.Allowances)
	}
	if err := Deny(path, WhatSource, "/opt"); err == nil {
		t.Error("what is not allowed was taken back")
	}
	before.Allowances = nil
	if !same(before, after) {
		t.Error("the rest of the policy changed")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := full[:strings.Index(full, allowancesKey)] + "# the end\n"
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}

func TestAllowWorksOnAPolicyThatWeWrote(t *testing.T) {
	path := t.TempDir() + "/policy.yaml"
	if err := Default(Guarded).Write(path); err != nil {
		t.Fatal(err)
	}
	if err := Allow(path, Allowance{What: WhatRepository, Under: "/srv/it's # odd: yes"}); err != nil {
		t.Fatal(err)
	}
	p := mustLoad(t, path)
	if err := p.AllowRepository("/srv/it's # odd: yes/r"); err != nil {
		t.Error(err)
	}
}

func TestAllowLeavesWhatItCannotEdit(t *testing.T) {
	for _, text := range []string{
		"{version: 1, profile: guarded}\n",
		"version: 1\nprofile: guarded\n\"allowances\":\n  - {what: source, under: /x}\n",
		"version: 1\nprofile: guarded\nallowances: [\n{what: source, under: /x}\n]\n",
	} {
		path := policyFile(t, text)
		if err := Allow(path, Allowance{What: WhatSource, Under: "/opt"}); err == nil || !strings.Contains(err.Error(), "by hand") {
			t.Errorf("%q: got %v", text, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("the file was changed to %q, %v", got, err)
		}
	}
	if err := Allow(t.TempDir()+"/policy.yaml", Allowance{What: WhatSource, Under: "/opt"}); err == nil {
		t.Error("an allowance without a policy")
	}
	for _, a := range []Allowance{{}, {What: "everything", Under: "/"}, {What: WhatSource, Under: "opt"}, {What: WhatExcludes, Under: "-1"},
		{What: WhatRepository, Under: "rclone:x"}, {What: WhatOperation, Under: "exec"}} {
		if err := Allow(policyFile(t, full), a); err == nil {
			t.Errorf("%+v was allowed", a)
		}
	}
}

func TestTheSummarySaysWhatTheFileLeavesToDefaults(t *testing.T) {
	p := mustLoad(t, policyFile(t, full))
	p.now = func() time.Time { return time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC) }
	p.Protect("/var/lib/restic-manager")
	want := Summary{State: StateOK, Profile: "guarded", Digest: p.digest, Rules: []Rule{
		{"Operations", "init, backup, snapshots"},
		{"Repositories", "rest:https://nas.test:8000/"},
		{"Folders that may be backed up", "/home, /srv"},
		{"Folders that are never backed up", "/var/lib/restic-manager, /srv/cache"},
		{"Folders that no backup may leave out", "/home"},
		{"Patterns that a backup may exclude", "10"},
		{"Restores go to", "/var/lib/restic-manager/restore"},
		{"Restores leave free", "2.0 GiB"},
		{"Restore in place", "/srv"},
		{"Hooks", "dump-database"},
		{"Named sources", "what root puts into " + filepath.Join(p.folder, "sources.d")},
		{"While the server is away", "schedules go on"},
		{"Limits", "upload 2048 KiB/s, download 4096 KiB/s, starts within 22:00-06:00"},
		{"Maintenance host of", "/srv/restic (keeps 14 days and the last 3)"},
		{"Allowed by root", "source under /opt, ended 2026-11-22T08:00:00Z"},
	}, Maintained: []Maintenance{{Path: "/srv/restic", RunAs: "restic", KeepDays: 14, KeepLast: 3, MaxDeleteFraction: 0.3, UndoDays: 14}},
		Restore: RestoreSummary{StagingDir: "/var/lib/restic-manager/restore", InPlace: []string{"/srv"}, MaxBytes: 1_000_000}}
	if diff := cmp.Diff(want, SummaryOf(p, nil)); diff != "" {
		t.Error(diff)
	}
	byDefault := Default(Trusting).Summary()
	if got := byDefault.Rules[0].Value + "; " + byDefault.Rules[1].Value; got != "all that cannot delete; any location" {
		t.Errorf("got %q", got)
	}
}

func TestTheSummaryKeepsWithinTheContract(t *testing.T) {
	p := Default(Guarded)
	for range 300 {
		p.Backup.Deny = append(p.Backup.Deny, "/"+strings.Repeat("ü", 50))
		p.Allowances = append(p.Allowances, Allowance{What: WhatSource, Under: "/x"})
	}
	s := p.Summary()
	if len(s.Rules) != maxRules {
		t.Errorf("got %d rules", len(s.Rules))
	}
	for _, r := range s.Rules {
		if len(r.Value) > maxValue || !strings.HasSuffix(r.Value, "…") && len(r.Value) > 1000 {
			t.Errorf("got %d bytes of %s", len(r.Value), r.Name)
		}
	}
}
