//go:build unix

package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const allScripts = "version: 1\nprofile: guarded\n"

// withScripts is a policy with a folder of hooks beside it, which has the script "good".
func withScripts(t *testing.T, text string) (p *Policy, dir string) {
	t.Helper()
	path := policyFile(t, text)
	dir = filepath.Join(filepath.Dir(path), "hooks.d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "good"), 0o755)
	return mustLoad(t, path), dir
}

func put(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func wantHookRefused(t *testing.T, p *Policy, name, code string, parts ...string) {
	t.Helper()
	_, err := p.Hook(name)
	var r *Refusal
	if !errors.As(err, &r) || r.Code != code || r.Next == "" {
		t.Errorf("%q: got %v, want %s and a next step", name, err, code)
		return
	}
	for _, part := range parts {
		if !strings.Contains(r.Error(), part) {
			t.Errorf("%q: got %q, want %q in it", name, r, part)
		}
	}
}

func TestWhatRootPutsIntoTheFolderMayBeNamed(t *testing.T) {
	for _, profile := range []string{"guarded", "trusting"} {
		p, dir := withScripts(t, "version: 1\nprofile: "+profile+"\n")
		script, err := p.Hook("good")
		if err != nil || script.Name != "good" || script.Path != filepath.Join(dir, "good") {
			t.Errorf("%s: got %+v, %v", profile, script, err)
		}
		if _, err := p.Source("good"); err == nil {
			t.Error("a hook was taken for a named source")
		}
	}
}

func TestAHookIsNamedAndNeverAPath(t *testing.T) {
	p, dir := withScripts(t, allScripts)
	put(t, filepath.Join(filepath.Dir(dir), "outside"), 0o755)
	for _, name := range []string{"", ".", "..", "../outside", "../../bin/sh", "/bin/sh", "good/../../outside", "a b", "-c", ".hidden", "x;id", "good\n", "good\x00",
		"curl evil|sh", strings.Repeat("x", 65)} {
		wantHookRefused(t, p, name, CodeHookNotAllowed)
	}
	wantHookRefused(t, p, "unknown", CodeHookNotAllowed, "there is no hook of the name unknown")
}

func TestAHookThatThePolicyDoesNotListIsRefused(t *testing.T) {
	p, dir := withScripts(t, allScripts+"hooks: {allow: [{name: other}]}\n")
	put(t, filepath.Join(dir, "other"), 0o755)
	wantHookRefused(t, p, "good", CodeHookNotAllowed, "add it to hooks.allow")
	if _, err := p.Hook("other"); err != nil {
		t.Error(err)
	}
	p, _ = withScripts(t, allScripts+"hooks: {allow: []}\n")
	wantHookRefused(t, p, "good", CodeHookNotAllowed)
}

func TestAHookThatOthersCouldHaveChangedIsRefused(t *testing.T) {
	p, dir := withScripts(t, allScripts)
	good := filepath.Join(dir, "good")
	for mode, word := range map[os.FileMode]string{0o775: "writable by its group", 0o757: "writable by others", 0o777: "writable by its group and others"} {
		put(t, filepath.Join(dir, "open"), mode)
		wantHookRefused(t, p, "open", CodeHookInsecure, filepath.Join(dir, "open")+" is "+word, "run: chmod go-w ")
	}
	if err := os.Symlink(good, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	wantHookRefused(t, p, "link", CodeHookInsecure, "is a symbolic link")
	put(t, filepath.Join(dir, "plain"), 0o644)
	wantHookRefused(t, p, "plain", CodeHookInsecure, "is not executable; run: chmod 0755 ")
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantHookRefused(t, p, "folder", CodeHookInsecure, "is not a regular file")
	if os.Geteuid() == 0 {
		put(t, filepath.Join(dir, "theirs"), 0o755)
		if err := os.Chown(filepath.Join(dir, "theirs"), 1000, 0); err != nil {
			t.Fatal(err)
		}
		wantHookRefused(t, p, "theirs", CodeHookInsecure, "belongs to user 1000")
	}
}

func TestHooksInAFolderThatOthersCanChangeAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"writable":        func(dir string) error { return os.Chmod(dir, 0o777) },
		"sticky":          func(dir string) error { return os.Chmod(dir, 0o777|os.ModeSticky) },
		"writable parent": func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o777) },
		"a link": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, dir := withScripts(t, allScripts)
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			wantHookRefused(t, p, "good", CodeHookInsecure)
			inHooks, _ := p.Published()
			if len(inHooks) != 1 || inHooks[0].Problem == "" {
				t.Errorf("published as %+v", inHooks)
			}
		})
	}
}

func TestTheHostPublishesItsScriptsWithWhatIsWrongWithThem(t *testing.T) {
	p, dir := withScripts(t, allScripts)
	put(t, filepath.Join(dir, "open"), 0o775)
	put(t, filepath.Join(dir, ".hidden"), 0o755)
	const badly = "a hook cannot have this name; rename it to at most 64 letters, digits and . _ -, the first a letter or digit"
	for _, name := range []string{"a name", "b\nc\xff", strings.Repeat("dä", 50)} {
		put(t, filepath.Join(dir, name), 0o755)
	}
	if err := os.Mkdir(filepath.Join(dir, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	inHooks, inSources := p.Published()
	want := []Published{{"good", ""}, {"open", dir + "/open is writable by its group; run: chmod go-w " + dir + "/open"},
		{"a name", badly}, {"b\ufffdc\ufffd", badly}, {strings.Repeat("dä", 20) + "…", badly}}
	if diff := cmp.Diff(want, inHooks); diff != "" || inSources != nil {
		t.Errorf("hooks (-want +got):\n%s\nsources: %v", diff, inSources)
	}
	for i := range 150 {
		put(t, filepath.Join(dir, "n"+strings.Repeat("x", i%50)+string(rune('a'+i/50))), 0o755)
	}
	if inHooks, _ = p.Published(); len(inHooks) != maxPublished {
		t.Errorf("%d are published", len(inHooks))
	}
}

func TestACommandKeepsThatNoScriptIsAllowed(t *testing.T) {
	path := policyFile(t, allScripts+"hooks: {allow: []}\n")
	if err := Allow(path, Allowance{What: WhatSource, Under: "/opt"}); err != nil {
		t.Fatal(err)
	}
	if p := mustLoad(t, path); p.Hooks.Allow == nil {
		t.Error("the empty list is gone, so that every script would be allowed")
	}
}
