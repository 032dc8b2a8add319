//go:build unix

package custody

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// place a file with a mode in a fresh folder; the umask has no say.
func newFile(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	must(t, os.WriteFile(path, []byte("content"), 0o600))
	must(t, os.Chmod(path, mode))
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkFile says whether Open trusts a file.
func checkFile(path string, d Demand) error {
	f, err := Open(path, d)
	if err != nil {
		return err
	}
	return f.Close()
}

// wantProblem wants a Problem whose text has each of the parts.
func wantProblem(t *testing.T, err error, parts ...string) {
	t.Helper()
	var p *Problem
	if !errors.As(err, &p) {
		t.Fatalf("got error %v, want a Problem", err)
	}
	for _, part := range parts {
		if !strings.Contains(p.Error(), part) {
			t.Errorf("got %q, want %q in it", p, part)
		}
	}
}

func TestAPrivateFileInTheTemporaryFolderIsRead(t *testing.T) {
	path := newFile(t, 0o600)
	for _, d := range []Demand{Unchangeable, Private} {
		got, err := Read(path, d, 100)
		if err != nil || string(got) != "content" {
			t.Errorf("demand %d: got %q, %v", d, got, err)
		}
	}
}

func TestAFileThatOthersCanChangeIsRefusedWithTheCommandThatMendsIt(t *testing.T) {
	tests := []struct {
		mode fs.FileMode
		d    Demand
		want string // in the Problem; "" where the file is trusted
	}{
		{0o644, Unchangeable, ""},
		{0o755, Unchangeable, ""},
		{0o666, Unchangeable, "others; run: chmod 0600 "},
		{0o602, Unchangeable, "writable by others; run: chmod 0600 "},
		{0o757, Unchangeable, "writable by others; run: chmod go-w "},
		{0o400, Private, ""},
		{0o640, Private, "readable by its group; run: chmod 0600 "},
		{0o604, Private, "readable by others; run: chmod 0600 "},
		{0o620, Private, "writable by its group; run: chmod 0600 "},
	}
	for _, test := range tests {
		path := newFile(t, test.mode)
		err := checkFile(path, test.d)
		if test.want == "" {
			if err != nil {
				t.Errorf("mode %o: %v", test.mode, err)
			}
			continue
		}
		wantProblem(t, err, path, "able by ", test.want+path)
	}
}

func TestOnlyRootAndTheOwnUserMayOwn(t *testing.T) {
	const group = fs.FileMode(0o664)
	person, root := identity{1000, 1000}, identity{0, 0}
	tests := []struct {
		name string
		r    rights
		self identity
		want string
	}{
		{"root's file, for root", rights{0, 0, 0o600}, root, ""},
		{"root's file, for a person", rights{0, 0, 0o600}, person, ""},
		{"the person's own", rights{1000, 1000, 0o600}, person, ""},
		{"another's, for root", rights{1000, 1000, 0o600}, root, "belongs to user 1000, not to root; run: chown root /f"},
		{"another's, for a person", rights{1001, 1000, 0o600}, person, "belongs to user 1001, not to root or to the agent's own user 1000; run: chown 1000 /f"},
		{"the group that is the person's alone", rights{1000, 1000, group}, person, ""},
		{"a group of several", rights{1000, 100, group}, person, "writable by its group"},
		{"a person in a group of several", rights{1000, 100, group}, identity{1000, 100}, "writable by its group"},
		{"the group of root", rights{0, 0, group}, root, "writable by its group"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := judge("/f", test.r, test.self, file, Unchangeable)
			if test.want == "" && p != nil {
				t.Errorf("got %v", p)
			}
			if test.want != "" && (p == nil || !strings.Contains(p.Error(), test.want)) {
				t.Errorf("got %v, want %q", p, test.want)
			}
		})
	}
}

func TestAnotherUsersFileIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away; TestOnlyRootAndTheOwnUserMayOwn has the rule")
	}
	path := newFile(t, 0o600)
	must(t, os.Chown(path, 1000, 1000))
	wantProblem(t, checkFile(path, Unchangeable), "belongs to user 1000", "run: chown root "+path)
}

func TestAFolderAboveThatOthersCanChangeIsRefused(t *testing.T) {
	top := t.TempDir()
	path := filepath.Join(top, "open", "etc", "policy.yaml")
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, nil, 0o600))
	open := filepath.Join(top, "open")

	must(t, os.Chmod(open, 0o777))
	wantProblem(t, checkFile(path, Unchangeable), open+" is writable by ", "others; run: chmod go-w "+open)
	wantProblem(t, CheckFolder(filepath.Dir(path), Unchangeable), open)

	// Sticky, it is like /tmp: names in it can be moved by their owners alone.
	must(t, os.Chmod(open, 0o777|fs.ModeSticky))
	must(t, checkFile(path, Unchangeable))
	wantProblem(t, CheckFolder(open, Unchangeable), "writable by ")
}

func TestALinkIsRefusedWhereverItLies(t *testing.T) {
	top := t.TempDir()
	path := filepath.Join(top, "real", "policy.yaml")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Symlink(path, filepath.Join(top, "link.yaml")))
	must(t, os.Symlink(filepath.Dir(path), filepath.Join(top, "folder")))

	wantProblem(t, checkFile(filepath.Join(top, "link.yaml"), Unchangeable), "is a symbolic link; run: cp --remove-destination "+path)
	wantProblem(t, checkFile(filepath.Join(top, "folder", "policy.yaml"), Unchangeable), "use the path "+filepath.Dir(path)+" instead")
	wantProblem(t, CheckFolder(filepath.Join(top, "folder"), Unchangeable), "is a symbolic link")
}

func TestWhatIsNoRegularFileIsRefusedWithoutWaiting(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	wantProblem(t, checkFile(pipe, Private), "is not a regular file")
	wantProblem(t, checkFile(filepath.Dir(pipe), Private), "is not a regular file")
	wantProblem(t, CheckFolder(newFile(t, 0o600), Private), "is not a folder")
}

func TestAQuotedPathIsOneWord(t *testing.T) {
	for path, want := range map[string]string{
		"/etc/a.yaml":     "/etc/a.yaml",
		"/etc/a b":        "'/etc/a b'",
		"/x'; rm -rf /; ": `'/x'\''; rm -rf /; '`,
		"/$(id)":          "'/$(id)'",
		"/a\nb":           "'/a\nb'",
	} {
		if got := Quote(path); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
}

func TestMakeFolderChecksWhatItFinds(t *testing.T) {
	state := filepath.Join(t.TempDir(), "var", "state")
	must(t, MakeFolder(state))
	must(t, MakeFolder(state))
	must(t, os.Chmod(state, 0o750))
	wantProblem(t, MakeFolder(state), "is readable by its group", "run: chmod 0700 "+state)
}
