package service

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"restic-manager/deploy"
)

func TestTheManagerIsTheOneThatRunsAndNotOneThatIsInstalled(t *testing.T) {
	for name, c := range map[string]struct {
		there []string
		want  string
	}{
		"systemd":                         {[]string{"/run/systemd/system", "/etc/init.d", "/etc/rc2.d"}, "systemd"},
		"systemd installed, not running":  {[]string{"/lib/systemd/systemd", "/etc/systemd/system"}, ""},
		"OpenRC":                          {[]string{"/run/openrc/softlevel", "/sbin/openrc-run", "/etc/init.d"}, "OpenRC"},
		"OpenRC installed, scripts start": {[]string{"/sbin/openrc-run", "/etc/init.d", "/etc/rc2.d"}, "init scripts"},
		"init scripts":                    {[]string{"/etc/init.d", "/etc/rc2.d"}, "init scripts"},
		"a container":                     {[]string{"/etc/init.d"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for _, path := range c.there {
				if err := os.MkdirAll(filepath.Join(root, path), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			got, err := detectBelow(root)
			if got.what != c.want || (c.want == "") != errors.Is(err, ErrNoManager) {
				t.Errorf("got %q, %v, want %q", got.what, err, c.want)
			}
			if c.want != "" && got.library.String() != libraryNames[c.want] {
				t.Errorf("the library's %v serves %s", got.library, c.want)
			}
		})
	}
}

func TestADefinitionIsReplacedWhenItIsAnothers(t *testing.T) {
	root := t.TempDir()
	d := definition{root, "/etc/init.d/" + Name, "new", true, false}
	if there, err := d.installed(); there || err != nil {
		t.Errorf("installed: %t, %v", there, err)
	}
	path := filepath.Join(root, d.path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"old": true, "new": false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		old, err := d.outdated()
		there, err2 := d.installed()
		if old != want || !there || errors.Join(err, err2) != nil {
			t.Errorf("%q: outdated %t, installed %t, %v, %v", text, old, there, err, err2)
		}
	}
	if err := d.secure(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestTheLinksOfTheRunLevelsAreTracesAndOthersAreNot(t *testing.T) {
	root := t.TempDir()
	for _, path := range []string{"/etc/rc2.d/S50" + Name, "/etc/rc6.d/K02" + Name, "/etc/rc2.d/S01cron", "/etc/rc2.d/S50" + Name + "-other"} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/nowhere", path); err != nil {
			t.Fatal(err)
		}
	}
	got := definition{root, initScript, "", true, false}.traces()
	for path, want := range map[string]bool{
		"/etc/rc2.d/S50" + Name: true, "/etc/rc6.d/K02" + Name: true, "/var/log/" + Name + ".log": true,
		"/etc/rc2.d/S01cron": false, "/etc/rc2.d/S50" + Name + "-other": false,
	} {
		if slices.Contains(got, filepath.Join(root, path)) != want {
			t.Errorf("%s among %v: want %t", path, got, want)
		}
	}
}

func TestEveryDefinitionRunsTheProgramOfTheInstaller(t *testing.T) {
	for _, unit := range []string{"service", "openrc", "init"} {
		text := deploy.Unit(unit)
		if !strings.Contains(text, Program()) || strings.Contains(text, "{{") {
			t.Errorf("%s does not run %s as it is written", unit, Program())
		}
	}
}
