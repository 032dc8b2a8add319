//go:build unix

package policy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestARestoreInPlaceGoesOnlyWhereRootAllowsIt(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	allowed := filepath.Join(top, "srv")
	if err := os.Mkdir(allowed, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(top, "link")
	if err := os.Symlink(allowed, link); err != nil {
		t.Fatal(err)
	}
	p := Default(Guarded)
	p.folder = filepath.Join(top, "etc/restic-manager")
	p.Restore.InPlaceAllow = []string{link}
	p.Allowances = []Allowance{{What: WhatRestoreInPlace, Under: "/home", Until: Until(time.Now().Add(time.Hour))},
		{What: WhatRestoreInPlace, Under: "/var", Until: Until(time.Now().Add(-time.Hour))}}
	p.Protect(filepath.Join(allowed, "state"))
	for _, path := range []string{allowed, allowed + "/a/b", "/home/u", "/home"} {
		if err := p.AllowInPlace(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"/", "/etc", "/etc/cron.d/x", "/home2", "/var/lib", allowed + "x", top} {
		wantRefusal(t, p.AllowInPlace(path), CodeRestoreTargetDenied, "")
	}
	wantRefusal(t, p.AllowInPlace("/etc/x"), CodeRestoreTargetDenied, "restic-manager-agent policy allow restore-in-place --under /etc/x --for 24h")
	for _, path := range []string{
		"", ".", "..", "../x", "home/u", "/home/../etc", "/home/..", "/home//u", "/home/", "/home/u/.", "//home/u", `\\server\share`, `\\?\C:\x`, `C:\Windows`, "C:/x", "--target=/home",
	} {
		wantRefusal(t, p.AllowInPlace(path), CodeRestoreTargetDenied, "")
	}
}

func TestNoRestoreInPlaceTouchesTheAgentItself(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"etc", "state"} {
		if err := os.Mkdir(filepath.Join(top, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("state", filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	p := Default(Trusting)
	p.folder = filepath.Join(top, "etc")
	p.Hooks.Dir = filepath.Join(top, "hooks")
	p.Protect(filepath.Join(top, "link"))
	if err := p.AllowInPlace("/"); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"etc", "etc/policy.yaml", "etc/hooks.d/x", "etc/sources.d", "hooks/x", "state", "state/agent.db", "link/x"} {
		wantRefusal(t, p.AllowInPlace(filepath.Join(top, path)), CodeRestoreTargetDenied, "no command allows this")
	}
	if own := p.OwnFolders(); !slices.Contains(own, filepath.Join(top, "state")) {
		t.Errorf("own folders: %q", own)
	}
}

func TestARestoreHasALargestSize(t *testing.T) {
	p := Default(Guarded)
	if err := p.AllowBytes(1 << 60); err != nil {
		t.Error(err)
	}
	p.Restore.MaxBytes = 1 << 20
	if err := p.AllowBytes(1 << 20); err != nil {
		t.Error(err)
	}
	wantRefusal(t, p.AllowBytes(1<<20+1), CodeRestoreTooLarge, "restore.max_bytes")
}

func TestRestoresLeaveRoom(t *testing.T) {
	const gib = int64(1) << 30
	for _, c := range []struct{ total, want int64 }{
		{2 * gib, gib / 2}, {4 * gib, gib}, {10 * gib, gib}, {20 * gib, gib}, {200 * gib, 2 * gib}, {20_000 * gib, 16 * gib}, {0, 0},
	} {
		if got := Default(Guarded).KeepFree(c.total); got != c.want {
			t.Errorf("of %d bytes %d stay free, want %d", c.total, got, c.want)
		}
	}
	p := Default(Trusting)
	p.Restore.KeepFree = 5
	if got := p.KeepFree(200 * gib); got != 5 {
		t.Errorf("%d bytes stay free, and the file says 5", got)
	}
}

func TestTheServerLearnsWhereRestoresMayWrite(t *testing.T) {
	p := Default(Guarded)
	p.StageIn("/var/lib/x")
	if got := p.RestoreRules(); got.StagingDir != "/var/lib/x" || len(got.InPlace) != 0 {
		t.Errorf("%+v", got)
	}
	p.Restore = Restore{StagingDir: "/srv/staging", InPlaceAllow: []string{"/srv"}, PreservePrivileged: true, MaxBytes: 5}
	p.Allowances = []Allowance{{What: WhatRestoreInPlace, Under: "/home"}}
	if got := p.RestoreRules(); got.StagingDir != "/srv/staging" || !slices.Equal(got.InPlace, []string{"/srv", "/home"}) || !got.PreservePrivileged || got.MaxBytes != 5 {
		t.Errorf("%+v", got)
	}
	p.Profile = Trusting
	if got := p.RestoreRules(); !slices.Equal(got.InPlace, []string{"/"}) {
		t.Errorf("%+v", got)
	}
}
