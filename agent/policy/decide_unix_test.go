//go:build unix

package policy

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/restic"
)

// wantRefusal wants a refusal with a code that names a way on.
func wantRefusal(t *testing.T, err error, code, next string) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal with %s", err, code)
	}
	if r.Code != code || r.What == "" || !strings.Contains(r.Next, next) || r.Next == "" {
		t.Errorf("got %v, want %s and the way %q", r, code, next)
	}
}

func TestARepositoryOutsideTheAllowedLocationsIsRefused(t *testing.T) {
	p := Default(Guarded, "rest:https://nas.test:8000/h1/", "/srv/restic")
	for _, location := range []string{
		"rest:https://nas.test:8000/h1/", "rest:https://NAS.test:8000/h1", "rest:https://nas.test:8000/h1/sub/", "/srv/restic", "/srv/restic/h1",
	} {
		if err := p.AllowRepository(location); err != nil {
			t.Errorf("%s: %v", location, err)
		}
	}
	for _, location := range []string{
		"", "rclone:x:", "sftp:-oProxyCommand=x:/y", "sftp:u@h:/r", "local:/srv/restic", "s3:https://nas.test/b", "swift:c:/", "b2:b", "azure:c:/", "gs:b:/",
		"/srv/restic2", "/srv/restic/../etc", "/srv", "srv/restic", "./srv/restic", "//srv/restic", "/srv//restic", "/",
		"rest:http://nas.test:8000/h1/", "rest:https://nas.test/h1/", "rest:https://nas.test:8001/h1/", "rest:https://nas.test:8000/", "rest:https://nas.test:8000/h10/",
		"rest:https://nas.test:8000/h1/../h2/", "rest:https://nas.test:8000/h1/%2e%2e/h2/", "rest:https://nas.test:8000/h1//", "rest:https://nas.test:8000@evil.test/h1/",
		"rest:https://u:p@nas.test:8000/h1/", "rest:https://nas.test:8000/h1/?x", "rest:https://nas.test:8000/h1/#x", "rest:https://nas.test.:8000/h1/x\ny",
		"REST:https://nas.test:8000/h1/", "rest:HTTPS://nas.test:8000/h1/", "rest:https://nas.test:8000\\h1\\", "rest:https://nаs.test:8000/h1/", "rest:https://[fe80::1%25eth0]:8000/h1/",
		"rest:https://0x7f.1/h1/", "rest:https://nas.test:08000/h1/", `C:\restic`, `\\nas\restic`, "-oX=y", "--repo=/srv/restic",
	} {
		wantRefusal(t, p.AllowRepository(location), CodeRepoNotAllowed, "")
	}
	wantRefusal(t, p.AllowRepository("rest:https://evil.test/h1/"), CodeRepoNotAllowed,
		"restic-manager-agent policy allow repository --under rest:https://evil.test/h1/ --for 24h")
}

func TestATrustingHostUsesAnyLocationThatCanBeRead(t *testing.T) {
	p := Default(Trusting)
	if err := p.AllowRepository("rest:http://other.test/r/"); err != nil {
		t.Error(err)
	}
	wantRefusal(t, p.AllowRepository("rclone:x:"), CodeRepoNotAllowed, "")
}

func TestALinkDoesNotLeadOutOfAnAllowedRepositoryFolder(t *testing.T) {
	top := t.TempDir()
	mkdir(t, filepath.Join(top, "restic"))
	mkdir(t, filepath.Join(top, "etc"))
	symlink(t, filepath.Join(top, "etc"), filepath.Join(top, "restic", "out"))
	p := Default(Guarded, filepath.Join(top, "restic"))
	if err := p.AllowRepository(filepath.Join(top, "restic", "new")); err != nil {
		t.Error(err)
	}
	wantRefusal(t, p.AllowRepository(filepath.Join(top, "restic", "out", "r")), CodeRepoNotAllowed, "")
}

func TestAHintNeverCarriesWhatAShellOrTerminalWouldActUpon(t *testing.T) {
	p := Default(Guarded, "/srv/restic")
	err := p.AllowRepository("/x'; rm -rf / #")
	wantRefusal(t, err, CodeRepoNotAllowed, `--under '/x'\''; rm -rf / #' --for`)
	p.Backup.AllowRoots = []string{"/home"}
	wantRefusal(t, p.AllowSources([]string{"/x\x1b[2J\n"}, nil), CodePathNotAllowed, "edit the policy file")
}

func TestOperationsThatDeleteRunOnlyAtTheMaintenanceHost(t *testing.T) {
	backup, _ := restic.OperationNamed("backup")
	prune := restic.Operation{Name: "prune", Deletes: true, Slot: restic.SlotMaintenance, Places: []restic.Place{restic.PlaceMaintenanceHost}}
	p := Default(Guarded, "/srv/restic")
	if err := p.AllowOperation(backup, "rest:https://nas.test/h1/"); err != nil {
		t.Error(err)
	}
	wantRefusal(t, p.AllowOperation(prune, "/srv/restic/h1"), CodeOperationNotAllowed, "policy allow maintenance --under /srv/restic/h1")
	wantRefusal(t, p.AllowOperation(prune, "rest:https://nas.test/h1/"), CodeOperationNotAllowed, "at the maintenance host")
	for _, half := range []restic.Operation{
		{Name: "x", Deletes: true, Slot: restic.SlotAppend, Places: []restic.Place{restic.PlaceHost}},
		{Name: "x", Slot: restic.SlotMaintenance, Places: []restic.Place{restic.PlaceHost}},
		{Name: "x", Slot: restic.SlotAppend, Places: []restic.Place{restic.PlaceMaintenanceHost}},
	} {
		wantRefusal(t, p.AllowOperation(half, "/srv/restic/h1"), CodeOperationNotAllowed, "")
	}
	p.Maintenance = []Maintenance{{Path: "/srv/restic"}}
	if err := p.AllowOperation(prune, "/srv/restic/h1"); err != nil {
		t.Error(err)
	}
	wantRefusal(t, p.AllowOperation(prune, "/srv/restic2"), CodeOperationNotAllowed, "")
	p.Operations = []string{"prune"}
	p.Maintenance = nil
	wantRefusal(t, p.AllowOperation(prune, "/srv/restic/h1"), CodeOperationNotAllowed, "")
}

func TestAListOfOperationsIsTheWholeList(t *testing.T) {
	p := Default(Guarded)
	p.Operations = []string{"snapshots"}
	snapshots, backup := operation(t, "snapshots"), operation(t, "backup")
	if err := p.AllowOperation(snapshots, "/r"); err != nil {
		t.Error(err)
	}
	wantRefusal(t, p.AllowOperation(backup, "/r"), CodeOperationNotAllowed, "policy allow operation --under backup --for 24h")
	p.Allowances = []Allowance{{What: WhatOperation, Under: "backup"}}
	if err := p.AllowOperation(backup, "/r"); err != nil {
		t.Error(err)
	}
}

// TestAnEmptyListOfOperationsIsNone compares what such a policy does with what it tells.
func TestAnEmptyListOfOperationsIsNone(t *testing.T) {
	p, err := parse([]byte("version: 1\nprofile: guarded\noperations: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, p.AllowOperation(operation(t, "snapshots"), "/r"), CodeOperationNotAllowed, "")
	if rule := p.Summary().Rules[0]; rule.Name != "Operations" || rule.Value != "none" {
		t.Errorf("the summary tells %+v", rule)
	}
}

func operation(t *testing.T, name string) restic.Operation {
	t.Helper()
	op, known := restic.OperationNamed(name)
	if !known {
		t.Fatalf("there is no operation %s", name)
	}
	return op
}

func TestSourcesOutsideTheAllowedFoldersAreRefused(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"home/ada", "home/ada/cache", "etc", "state/spool"} {
		mkdir(t, filepath.Join(top, dir))
	}
	symlink(t, filepath.Join(top, "etc"), filepath.Join(top, "home", "link"))
	symlink(t, filepath.Join(top, "home"), filepath.Join(top, "users"))
	symlink(t, filepath.Join(top, "state"), filepath.Join(top, "home", "state"))
	symlink(t, "loop", filepath.Join(top, "home", "loop"))
	p := Default(Guarded)
	p.Backup.AllowRoots = []string{filepath.Join(top, "users")} // a link to home
	p.Backup.Deny = []string{filepath.Join(top, "home/ada/cache")}
	p.Protect(filepath.Join(top, "state"))
	tests := []struct {
		source string
		ok     bool
	}{
		{"home", true}, {"home/ada", true}, {"users/ada", true}, {"home/ada/", true}, {"home/new/not/there", true}, {"home/./ada", true},
		{"etc", false}, {"", false}, {"home2", false}, {"home/../etc", false}, {"home/link", false}, {"home/link/passwd", false},
		{"users/link/shadow", false}, {"home/ada/cache", false}, {"users/ada/cache/x", false},
		{"state", false}, {"state/spool", false}, {"home/state", false}, {"home/state/spool", false}, {"home/loop/x", false},
	}
	for _, test := range tests {
		err := p.AllowSources([]string{top + "/" + test.source}, nil)
		if test.ok && err != nil {
			t.Errorf("%s: %v", test.source, err)
		}
		if !test.ok {
			wantRefusal(t, err, CodePathNotAllowed, "")
		}
	}
	for _, source := range []string{"home", "", "-", "--files-from=/etc/shadow", "/x\x00y"} {
		wantRefusal(t, p.AllowSources([]string{source}, nil), CodePathNotAllowed, "")
	}

	p.Allowances = []Allowance{{What: WhatSource, Under: filepath.Join(top, "etc")}, {What: WhatSource, Under: filepath.Join(top, "state")}}
	if err := p.AllowSources([]string{filepath.Join(top, "etc", "ssh")}, nil); err != nil {
		t.Errorf("an allowance: %v", err)
	}
	wantRefusal(t, p.AllowSources([]string{filepath.Join(top, "state")}, nil), CodePathNotAllowed, "no command allows this")
}

func TestWithoutRootsTheWholeMachineMayBeBackedUp(t *testing.T) {
	if err := Default(Guarded).AllowSources([]string{"/", "/etc"}, []string{"*.tmp"}); err != nil {
		t.Error(err)
	}
}

func TestDeniedFoldersAreExcludedFromSourcesThatContainThem(t *testing.T) {
	top := t.TempDir()
	mkdir(t, filepath.Join(top, "var/lib/[a]*x "))
	symlink(t, filepath.Join(top, "var"), filepath.Join(top, "link"))
	p := Default(Guarded)
	p.Protect(filepath.Join(top, "var/lib/[a]*x "))
	want := filepath.Join(top, "var/lib/[[]a][*]x") + "[ ]"
	if got := p.DeniedIn([]string{"/", "/nowhere"}); !slices.Equal(got, []string{want}) {
		t.Errorf("got %q, want %q", got, want)
	}
	through := filepath.Join(top, "link/lib/[[]a][*]x") + "[ ]"
	if got := p.DeniedIn([]string{filepath.Join(top, "link")}); !slices.Equal(got, []string{through}) {
		t.Errorf("through a link: got %q, want %q", got, through)
	}
	if got := p.DeniedIn([]string{filepath.Join(top, "etc")}); got != nil {
		t.Errorf("got %q for a source without the folder", got)
	}
	for _, pattern := range p.DeniedIn([]string{"/"}) {
		if err := restic.CheckExclude(pattern); err != nil {
			t.Errorf("restic does not take %q: %v", pattern, err)
		}
	}
}

func TestARequiredFolderIsNeitherForgottenNorExcluded(t *testing.T) {
	p := Default(Guarded)
	p.Backup.MustInclude = []string{"/home/ada"}
	for _, pattern := range []string{"*.iso", "/home/bob", "cache", "/home/ada/cache", "home/bob", "!/home", "/srv/*", "ada2", "/home/*/cache"} {
		if err := p.AllowSources([]string{"/home"}, []string{pattern}); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	for _, pattern := range []string{"*", "/", "/*", "**", "/home", "/home/", "//home", "/home/*", "/home/ada", "/home/ada/*", "/home/ada/**", "ada", "a?a", "home/ada",
		"/**/ada", "[h]ome", "/./home", "/x/../home", "ada/*", "**/**/**/**/*", strings.Repeat("**/", 1000) + "*"} {
		wantRefusal(t, p.AllowSources([]string{"/home"}, []string{"*.tmp", pattern}), CodePathRequired, "policy allow omission --under /home/ada")
	}
	for _, sources := range [][]string{nil, {"/etc"}, {"/home/ada/documents"}, {"/home/ad"}} {
		wantRefusal(t, p.AllowSources(sources, nil), CodePathRequired, "")
	}
	p.Allowances = []Allowance{{What: WhatOmission, Under: "/home"}}
	if err := p.AllowSources([]string{"/etc"}, nil); err != nil {
		t.Error(err)
	}
}

func TestTheNumberOfExcludesIsLimited(t *testing.T) {
	p := Default(Guarded)
	many := make([]string, defaultExcludes+1)
	wantRefusal(t, p.AllowSources([]string{"/"}, many), CodeTooManyExcludes, "policy allow excludes --under 257")
	if err := p.AllowSources([]string{"/"}, many[1:]); err != nil {
		t.Error(err)
	}
	none := 0
	p.Backup.MaxExcludes = &none
	wantRefusal(t, p.AllowSources([]string{"/"}, []string{"x"}), CodeTooManyExcludes, "")
	p.Allowances = []Allowance{{What: WhatExcludes, Under: "1"}}
	if err := p.AllowSources([]string{"/"}, []string{"x"}); err != nil {
		t.Error(err)
	}
}

func TestAnAllowanceEnds(t *testing.T) {
	p := Default(Guarded)
	end := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	p.Allowances = []Allowance{{What: WhatRepository, Under: "/srv/r", Until: Until(end)}}
	p.now = func() time.Time { return end.Add(-time.Second) }
	if err := p.AllowRepository("/srv/r/x"); err != nil {
		t.Error(err)
	}
	p.now = func() time.Time { return end }
	wantRefusal(t, p.AllowRepository("/srv/r/x"), CodeRepoNotAllowed, "")
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

func TestTheEntryThatSaysMostOfAMaintainedRepositoryCounts(t *testing.T) {
	top := t.TempDir()
	p, err := parse([]byte("version: 1\nprofile: guarded\nmaintenance:\n- path: " + top + "\n  keep_days: 30\n- path: " + top + "/web-1\n  keep_last: 9\n" +
		"- location: rest:https://nas.test/\n  max_delete_fraction: 0.5\n  undo_days: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Maintenance{
		top + "/web-2":                {Path: top, KeepDays: 30, KeepLast: 3, MaxDeleteFraction: 0.3, UndoDays: 14},
		top + "/web-1/sub":            {Path: top + "/web-1", KeepDays: 14, KeepLast: 9, MaxDeleteFraction: 0.3, UndoDays: 14},
		"rest:https://nas.test/web-1": {Location: "rest:https://nas.test/", KeepDays: 14, KeepLast: 3, MaxDeleteFraction: 0.5, UndoDays: 3},
		"rest:http://nas.test/web-1":  {},
		filepath.Dir(top):             {},
	} {
		l, err := restic.ParseLocation(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := p.MaintenanceOf(l); got != want || ok == (want == Maintenance{}) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	if n := len(p.Summary().Maintained); n != 3 {
		t.Errorf("the summary has %d entries", n)
	}
}

// TestAnAllowanceWeakensNoFloors has one that is closer than the file's entry, at its place,
// and around it.
func TestAnAllowanceWeakensNoFloors(t *testing.T) {
	top := t.TempDir()
	for _, under := range []string{top + "/web-1", top, filepath.Dir(top)} {
		p, err := parse([]byte("version: 1\nprofile: guarded\nmaintenance:\n- path: " + top + "\n  keep_days: 90\n  keep_last: 1\n  max_delete_fraction: 0.1\n  run_as: restic\n" +
			"  repository_id: " + strings.Repeat("ab", 32) + "\nallowances:\n- what: maintenance\n  under: " + under + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		l, err := restic.ParseLocation(top + "/web-1")
		if err != nil {
			t.Fatal(err)
		}
		want := Maintenance{Path: top, RunAs: "restic", RepositoryID: strings.Repeat("ab", 32), KeepDays: 90, KeepLast: 3, MaxDeleteFraction: 0.1, UndoDays: 14}
		if got, ok := p.MaintenanceOf(l); !ok || got != want {
			t.Errorf("under %s: %+v, want %+v", under, got, want)
		}
	}
}

// TestNoOrderWorksInWhatIsKeptAside has the undo copies of a repository as repositories of
// their own, by name and by a link.
func TestNoOrderWorksInWhatIsKeptAside(t *testing.T) {
	top := t.TempDir()
	if err := os.MkdirAll(top+"/web.rm-undo/copy/repository", 0o755); err != nil {
		t.Fatal(err)
	}
	symlink(t, "web.rm-undo/copy/repository", top+"/innocent")
	prune := restic.Operation{Name: "prune", Deletes: true, Slot: restic.SlotMaintenance, Places: []restic.Place{restic.PlaceMaintenanceHost}}
	for _, profile := range []Profile{Guarded, Trusting} {
		p := Default(profile, top, "rest:https://nas.test/")
		p.Maintenance = []Maintenance{{Path: top}, {Location: "rest:https://nas.test/"}}
		for _, location := range []string{
			top + "/web.rm-undo/copy/repository", top + "/web.rm-undo", top + "/web.rm-quarantine/x", top + "/WEB.RM-UNDO/x", top + "/innocent",
			"rest:https://nas.test/web.rm-undo/copy/repository/",
		} {
			wantRefusal(t, p.AllowOperation(prune, location), CodeRepoNotAllowed, "plain restic")
			wantRefusal(t, p.AllowRepository(location), CodeRepoNotAllowed, "plain restic")
			l, err := restic.ParseLocation(location)
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := p.MaintenanceOf(l); ok {
				t.Errorf("%s is maintained by %+v", location, e)
			}
		}
		if err := p.AllowOperation(prune, top+"/rm-undo"); err != nil {
			t.Error(err)
		}
	}
}

func TestAMaintenanceEntryIsEitherAFolderOrALocation(t *testing.T) {
	for _, entry := range []string{"keep_days: 3", "path: /srv\n  location: rest:https://nas.test/", "location: /srv", "location: rest:https://nas.test/\n  run_as: restic"} {
		if _, err := parse([]byte("version: 1\nprofile: guarded\nmaintenance:\n- " + entry + "\n")); err == nil {
			t.Errorf("%q passes", entry)
		}
	}
}
