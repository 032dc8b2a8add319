//go:build unix

package policy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const full = `# written by hand
version: 1
profile: guarded
operations: [init, backup, snapshots]
backup:
  allow_roots: [/home, /srv]
  deny: [/srv/cache]
  must_include: [/home]
  max_excludes: 10
repos:
  allow: ["rest:https://nas.test:8000/"]
restore:
  staging_dir: /var/lib/restic-manager/restore
  in_place_allow: [/srv]
  preserve_privileged: false
  max_bytes: 1000000
  keep_free: 2147483648
hooks:
  dir: /etc/restic-manager/hooks
  allow:
    - name: dump-database
      args: ["[a-z]+"]
schedule:
  offline: keep
limits:
  upload_kib_s: 2048
  download_kib_s: 4096
  window: "22:00-06:00"
signers:
  - name: ada
    key: ssh-ed25519 AAAA
    rights: [restore_in_place, policy]
threshold: 1
update:
  channel: signed
  min_version: 1.0.0
maintenance:
  - path: /srv/restic
    run_as: restic
    keep_days: 14
    keep_last: 3
    max_delete_fraction: 0.3
    undo_days: 14
allowances:
  - what: source
    under: /opt
    until: 2026-11-22T08:00:00Z
# the end
`

// policyFile writes a policy with a mode into a fresh folder.
func policyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t *testing.T, path string) *Policy {
	t.Helper()
	p, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantLocked wants that the file at path locks the agent, and how.
func wantLocked(t *testing.T, path, code string, parts ...string) {
	t.Helper()
	p, err := Load(path)
	var l *Locked
	if p != nil || !errors.As(err, &l) {
		t.Fatalf("got %v, %v, want a Locked", p, err)
	}
	if l.Code != code || l.Next == "" {
		t.Errorf("got %v, want the code %s and a next step", l, code)
	}
	for _, part := range parts {
		if !strings.Contains(l.Error(), part) {
			t.Errorf("got %q, want %q in it", l, part)
		}
	}
	s := SummaryOf(p, err)
	if s.State != StateLocked || s.Code != code || s.Message == "" || s.NextStep != l.Next {
		t.Errorf("got summary %+v of %v", s, l)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	p := mustLoad(t, policyFile(t, full))
	if p.Allowances[0].Until != "2026-11-22T08:00:00Z" || *p.Backup.MaxExcludes != 10 || p.Hooks.Allow[0].Args[0] != "[a-z]+" || p.Maintenance[0].MaxDeleteFraction != 0.3 {
		t.Errorf("got %+v", p)
	}
	if !strings.HasPrefix(p.digest, "sha256:") || p.digest == mustLoad(t, policyFile(t, full+"\n")).digest {
		t.Errorf("got digest %q, want that of the bytes", p.digest)
	}
}

func TestWithoutAFileTheAgentIsLocked(t *testing.T) {
	wantLocked(t, filepath.Join(t.TempDir(), "policy.yaml"), CodeMissing, "run: restic-manager-agent policy init --profile guarded")
	wantLocked(t, filepath.Join(t.TempDir(), "no", "policy.yaml"), CodeMissing)
}

func TestAFileThatOthersCouldHaveChangedLocksTheAgent(t *testing.T) {
	writable := policyFile(t, full)
	if err := os.Chmod(writable, 0o666); err != nil {
		t.Fatal(err)
	}
	wantLocked(t, writable, CodeInsecure, writable+" is writable by ", "run: chmod 0600 "+writable)

	link := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.Symlink(policyFile(t, full), link); err != nil {
		t.Fatal(err)
	}
	wantLocked(t, link, CodeInsecure, link+" is a symbolic link", "run: cp --remove-destination ")

	open := policyFile(t, full)
	if err := os.Chmod(filepath.Dir(open), 0o777); err != nil {
		t.Fatal(err)
	}
	wantLocked(t, open, CodeInsecure, filepath.Dir(open)+" is writable by", "run: chmod go-w "+filepath.Dir(open))

	wantLocked(t, t.TempDir(), CodeInsecure, "is not a regular file")
	wantLocked(t, policyFile(t, full+strings.Repeat("#", maxFile)), CodeInsecure, "has more than 65536 bytes")
}

func TestAnotherUsersFileLocksTheAgent(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away; agent/custody tests the rule itself")
	}
	path := policyFile(t, full)
	if err := os.Chown(path, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	wantLocked(t, path, CodeInsecure, "belongs to user 1000", "run: chown root "+path)
}

func TestWhatIsNotUnderstoodLocksTheAgent(t *testing.T) {
	const head = "version: 1\nprofile: guarded\n"
	tests := []struct{ name, text, want string }{
		{"an empty file", "", "empty"},
		{"comments only", "# nothing\n", ""},
		{"not YAML", "version: [1\n", ""},
		{"a list", "- version: 1\n", ""},
		{"an unknown key", head + "allow_all: true\n", "allow_all"},
		{"an unknown key further down", head + "backup:\n  allow_rots: [/]\n", "allow_rots"},
		{"an unknown key in a list", head + "allowances:\n  - {what: source, under: /x, untill: 2026-01-01T00:00:00Z}\n", "untill"},
		{"a key twice", head + "profile: trusting\n", ""},
		{"a second document", head + "---\nversion: 1\nprofile: trusting\n", "follows"},
		{"no version", "profile: guarded\n", "version must be 1"},
		{"a later version", "version: 2\nprofile: guarded\n", "version must be 1"},
		{"no profile", "version: 1\n", "profile must be one of: guarded, trusting"},
		{"an unknown profile", "version: 1\nprofile: open\n", "profile must be one of"},
		{"an unknown operation", head + "operations: [backup, exec]\n", "operations[1] is not the name"},
		{"a relative folder", head + "backup: {allow_roots: [home]}\n", "backup.allow_roots[0] must be an absolute path"},
		{"a folder with dots", head + "backup: {deny: [/home/../etc]}\n", "backup.deny[0] must be"},
		{"an empty folder", head + "backup: {must_include: [\"\"]}\n", "backup.must_include[0] is empty"},
		{"a negative margin", head + "restore: {keep_free: -1}\n", "keep_free must not be negative"},
		{"a negative number", head + "backup: {max_excludes: -1}\n", "max_excludes must not be negative"},
		{"a location that is none", head + "repos: {allow: [\"rclone:x:\"]}\n", "repos.allow[0]"},
		{"a location with a password", head + "repos: {allow: [\"rest:https://u:hunter2@h/\"]}\n", "repos.allow[0]"},
		{"a source with a path", head + "sources: {allow: [{name: a/b}]}\n", "sources.allow[0].name"},
		{"a relative folder of scripts", head + "sources: {dir: sources.d}\n", "sources.dir must be an absolute path"},
		{"a hook with a path", head + "hooks: {dir: /h, allow: [{name: ../x}]}\n", "hooks.allow[0].name"},
		{"a broken pattern", head + "hooks: {dir: /h, allow: [{name: x, args: [\"(\"]}]}\n", "hooks.allow[0].args[0]"},
		{"an unknown choice", head + "schedule: {offline: maybe}\n", "schedule.offline must be one of: keep, pause"},
		{"a window that is none", head + "limits: {window: \"22:00\"}\n", "limits.window"},
		{"a signer without a key", head + "signers: [{name: ada, rights: [policy]}]\n", "signers[0].key"},
		{"an unknown right", head + "signers: [{name: ada, key: k, rights: [all]}]\n", "signers[0].rights[0]"},
		{"a threshold that cannot be met", head + "threshold: 2\n", "threshold"},
		{"a channel that is none", head + "update: {channel: beta}\n", "update.channel"},
		{"maintenance without a folder", head + "maintenance: [{keep_days: 1}]\n", "maintenance[0] must have either path"},
		{"a fraction above one", head + "maintenance: [{path: /r, max_delete_fraction: 3}]\n", "max_delete_fraction"},
		{"an allowance of an unknown kind", head + "allowances: [{what: everything, under: /}]\n", "allowances[0]"},
		{"an allowance without a folder", head + "allowances: [{what: source}]\n", "allowances[0]"},
		{"an allowance with a broken time", head + "allowances: [{what: source, under: /x, until: tomorrow}]\n", "until must be a time"},
		{"an allowance until a day", head + "allowances: [{what: source, under: /x, until: 2026-11-22}]\n", "until must be a time"},
		{"a folder where a list belongs", head + "backup: {allow_roots: /home}\n", ""},
		{"a list where a folder belongs", head + "restore: {staging_dir: [/x]}\n", ""},
		{"a folder as a mapping", head + "backup: {allow_roots: {/home: true}}\n", ""},
		{"a text where a number belongs", head + "backup: {max_excludes: many}\n", ""},
		{"a text where yes or no belongs", head + "restore: {preserve_privileged: maybe}\n", ""},
		{"a number too large", head + "backup: {max_excludes: 99999999999999999999}\n", ""},
		{"a mapping where a list belongs", head + "maintenance: {path: /srv}\n", ""},
		{"a text where a mapping belongs", head + "backup: all\n", ""},
		{"a list where a mapping belongs", head + "backup: [all]\n", ""},
		{"an alias", head + "hooks: {dir: &d /x}\nrestore: {staging_dir: *d}\n", "write values out"},
		{"a merged key", head + "backup:\n  <<: {deny: [/x]}\n", "write values out"},
		{"a tag", head + "backup: {deny: [!!binary L3g=]}\n", "write values out"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := policyFile(t, test.text)
			wantLocked(t, path, CodeInvalid, path, test.want)
			_, err := Load(path)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats a password: %v", err)
			}
		})
	}
}

func TestOneErrorListsEveryMistake(t *testing.T) {
	wantLocked(t, policyFile(t, "version: 3\nprofile: x\nthreshold: 9\n"), CodeInvalid, "version", "profile", "threshold")
}

func TestAliasesDoNotMakeASmallFileLarge(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nprofile: guarded\na: &a [x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c < 'z'; c++ {
		before := string(c - 1)
		b.WriteString(string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+before+", ", 8) + "*" + before + "]\n")
	}
	b.WriteString("operations: *y\n")
	wantLocked(t, policyFile(t, b.String()), CodeInvalid)
}

func TestDeepNestingIsRefusedBeforeItIsRead(t *testing.T) {
	const most = maxFile / 4
	for _, deep := range []string{"[", "{a: ", "- ", "? ", "a:\n ", "[[[[[\n", "&a ", "!!x ", "\"", "|\n"} {
		wantLocked(t, policyFile(t, "version: 1\noperations: "+strings.Repeat(deep, most/len(deep))), CodeInvalid)
		wantLocked(t, policyFile(t, strings.Repeat(deep, most/len(deep))), CodeInvalid)
	}
	var b strings.Builder
	for i := range 300 {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	wantLocked(t, policyFile(t, b.String()), CodeInvalid)
}

func TestAPolicyIsWrittenOnceForRootAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := Default(Guarded, "rest:https://nas.test:8000/h1/").Write(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	p := mustLoad(t, path)
	if err := p.AllowRepository("rest:https://nas.test:8000/h1/"); err != nil {
		t.Error(err)
	}
	if err := Default(Trusting).Write(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second policy: got %v, want that there is one", err)
	}
	if again := mustLoad(t, path); again.digest != p.digest {
		t.Error("the first policy was changed")
	}
	if err := Default("open").Write(filepath.Join(t.TempDir(), "p")); err == nil {
		t.Error("a policy was written that would lock the agent")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("version: 1\nprofile: guarded\nallowances: [{what: source, under: /x}]\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse(data)
		if err == nil && (p.Version != 1 || p.Profile != Guarded && p.Profile != Trusting) {
			t.Errorf("got %+v", p)
		}
	})
}

// TestTheReferenceIsUnderstoodAndHasEveryKey keeps the annotated example true.
func TestTheReferenceIsUnderstoodAndHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../deploy/policy.reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	mustLoad(t, policyFile(t, string(text)))
	var keys func(of reflect.Type)
	keys = func(of reflect.Type) {
		for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct {
			return
		}
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
			// Keys for what no job can ask yet.
			if of.Field(i).IsExported() && !slices.Contains([]string{"args", "key", "rights", "repository_id"}, name) && !strings.Contains(string(text), name+":") {
				t.Errorf("the reference does not mention %s", name)
			}
			keys(of.Field(i).Type)
		}
	}
	keys(reflect.TypeFor[Policy]())
}
