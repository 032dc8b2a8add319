//go:build unix

package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"restic-manager/restic"
)

// bare is the environment of a host that offers nothing but files.
func bare(string) string { return "" }

func stateDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := open(dir, []rung{keyFile{filepath.Join(dir, "key")}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustPut(t *testing.T, s *Store, ref Ref, text string) {
	t.Helper()
	if err := s.Put(ref, Value{"user of " + ref.ID, restic.NewSecret(text)}); err != nil {
		t.Fatal(err)
	}
}

func wantSecret(t *testing.T, s *Store, ref Ref, text string) {
	t.Helper()
	v, err := s.Get(ref)
	if err != nil || v.Secret.Reveal() != text || v.Username != "user of "+ref.ID {
		t.Errorf("%v: got %q of %q, %v, want %q", ref, v.Secret.Reveal(), v.Username, err, text)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code || e.What == "" || e.Next == "" {
		t.Errorf("got %v, want %s with a next step", err, code)
	}
}

// tamper changes the file of a store.
func tamper(t *testing.T, dir string, change func(*file)) {
	t.Helper()
	path := filepath.Join(dir, storeName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := &file{}
	if err := json.Unmarshal(data, f); err != nil {
		t.Fatal(err)
	}
	change(f)
	if err := f.write(path); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasPutIsThereAfterARestart(t *testing.T) {
	dir := stateDir(t)
	s := mustOpen(t, dir)
	mustPut(t, s, Ref{"r1", 1}, "old password")
	mustPut(t, s, Ref{"r1", 2}, "pass\x00word\xff of r1")
	mustPut(t, s, Ref{"r2", 1}, "")
	mustPut(t, s, Ref{"r2", 1}, "replaced")
	if err := s.SetIdentity(Value{"host", restic.NewSecret("agent secret")}); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	wantSecret(t, s, Ref{"r1", 1}, "old password")
	wantSecret(t, s, Ref{"r1", 2}, "pass\x00word\xff of r1")
	wantSecret(t, s, Ref{"r2", 1}, "replaced")
	id, err := s.Identity()
	if err != nil || id.Username != "host" || id.Secret.Reveal() != "agent secret" {
		t.Errorf("got identity %q, %v", id.Username, err)
	}
	for _, ref := range []Ref{{"r1", 3}, {"r3", 1}, {"", 0}} {
		if _, err := s.Get(ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v: got %v", ref, err)
		}
	}
}

func TestForgetKeepsWhatIsNamedAndTheIdentity(t *testing.T) {
	dir := stateDir(t)
	s := mustOpen(t, dir)
	if _, err := s.Identity(); !errors.Is(err, ErrNotFound) {
		t.Errorf("before enrolment: got %v", err)
	}
	if err := s.SetIdentity(Value{"host", restic.NewSecret("agent secret")}); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, Ref{"r1", 1}, "a")
	mustPut(t, s, Ref{"r1", 2}, "b")
	mustPut(t, s, Ref{"r2", 1}, "c")
	if err := s.Forget([]Ref{{"r1", 2}, {"r9", 9}}); err != nil {
		t.Fatal(err)
	}
	wantSecret(t, s, Ref{"r1", 2}, "b")
	for _, ref := range []Ref{{"r1", 1}, {"r2", 1}} {
		if _, err := s.Get(ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v: got %v", ref, err)
		}
	}
	if err := s.Forget(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Identity(); err != nil {
		t.Errorf("the identity was forgotten: %v", err)
	}
	mustOpen(t, dir)
}

func TestNothingSecretIsReadableInTheFolder(t *testing.T) {
	dir := stateDir(t)
	s := mustOpen(t, dir)
	mustPut(t, s, Ref{"r1", 1}, "canary-password")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, canary := range []string{"canary-password", "Y2FuYXJ5LXBhc3N3b3Jk", "user of"} {
			if bytes.Contains(data, []byte(canary)) {
				t.Errorf("%s holds %q", e.Name(), canary)
			}
		}
	}
	if v, _ := s.Get(Ref{"r1", 1}); strings.Contains(fmt.Sprintf("%v %+v %#v", v, v, v), "canary") {
		t.Error("a value prints its secret")
	}
}

func TestTamperingIsFoundOut(t *testing.T) {
	tests := []struct {
		name   string
		change func(f *file)
	}{
		{"two values exchanged", func(f *file) { f.Sealed[1].Box, f.Sealed[2].Box = f.Sealed[2].Box, f.Sealed[1].Box }},
		{"a value under another id", func(f *file) { f.Sealed[1].ID, f.Sealed[2].ID = f.Sealed[2].ID, f.Sealed[1].ID }},
		{"an old value as the new version", func(f *file) { f.Sealed[2].Version, f.Sealed[2].ID = 2, "r1"; f.Sealed = f.Sealed[:3] }},
		{"a password as the identity", func(f *file) { f.Sealed[1].Purpose, f.Sealed[1].ID, f.Sealed[1].Version = forIdentity, "", 0 }},
		{"one bit flipped", func(f *file) { f.Sealed[1].Box[30] ^= 1; f.Sealed[2].Box[0] ^= 1 }},
		{"a value cut off", func(f *file) { f.Sealed[1].Box = f.Sealed[1].Box[:10]; f.Sealed[2].Box = nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := stateDir(t)
			s := mustOpen(t, dir)
			mustPut(t, s, Ref{"r1", 1}, "a")
			mustPut(t, s, Ref{"r2", 1}, "b")
			tamper(t, dir, test.change)
			found := 0
			for _, get := range []func() (Value, error){
				s.Identity,
				func() (Value, error) { return s.Get(Ref{"r1", 1}) },
				func() (Value, error) { return s.Get(Ref{"r1", 2}) },
				func() (Value, error) { return s.Get(Ref{"r2", 1}) },
			} {
				if v, err := get(); err == nil && (v.Username == "user of r1") != (v.Secret.Reveal() == "a") {
					t.Errorf("got the wrong value %q of %q", v.Secret.Reveal(), v.Username)
				} else if err != nil && !errors.Is(err, ErrNotFound) {
					wantCode(t, err, CodeIntegrity)
					found++
				}
			}
			if found == 0 {
				t.Error("nothing was found")
			}
		})
	}
}

func TestBindingsAreNeverAlike(t *testing.T) {
	seen := map[string]string{}
	for _, purpose := range []string{"", "a", "ab", "a|b"} {
		for _, id := range []string{"", "b", "|b", "a", "ab"} {
			for _, version := range []int64{0, 1, -1, 98} {
				what := fmt.Sprintf("%q %q %d", purpose, id, version)
				b := string(binding(purpose, Ref{id, version}))
				if other, ok := seen[b]; ok {
					t.Errorf("%s and %s are bound alike", what, other)
				}
				seen[b] = what
			}
		}
	}
}

func TestWhatCannotBeReadIsNeverOverwritten(t *testing.T) {
	tests := []struct {
		name, code string
		damage     func(dir string) error
	}{
		{"another key", CodeKeyMismatch, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "key"), bytes.Repeat([]byte{7}, 32), 0o600)
		}},
		{"a lost key", CodeKeyMissing, func(dir string) error { return os.Remove(filepath.Join(dir, "key")) }},
		{"half a key", CodeKeyInvalid, func(dir string) error { return os.WriteFile(filepath.Join(dir, "key"), []byte("0a0b"), 0o600) }},
		{"half a store", CodeStoreDamaged, func(dir string) error { return os.Truncate(filepath.Join(dir, storeName), 50) }},
		{"an empty store", CodeStoreDamaged, func(dir string) error { return os.Truncate(filepath.Join(dir, storeName), 0) }},
		{"a store of a later version", CodeStoreDamaged, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, storeName), []byte(`{"version":2,"rung":"file"}`), 0o600)
		}},
		{"a store of another system", CodeKeyMissing, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, storeName), []byte(`{"version":1,"rung":"HSM"}`), 0o600)
		}},
		{"a store that others read", CodeInsecure, func(dir string) error { return os.Chmod(filepath.Join(dir, storeName), 0o644) }},
		{"a key that others read", CodeInsecure, func(dir string) error { return os.Chmod(filepath.Join(dir, "key"), 0o640) }},
		{"a folder that others search", CodeInsecure, func(dir string) error { return os.Chmod(dir, 0o755) }},
		{"a folder instead of a store", CodeInsecure, func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, storeName)), os.Mkdir(filepath.Join(dir, storeName), 0o700))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := stateDir(t)
			running, err := Open(dir, bare)
			if err != nil {
				t.Fatal(err)
			}
			mustPut(t, running, Ref{"r1", 1}, "a")
			if err := test.damage(dir); err != nil {
				t.Fatal(err)
			}
			before := contentOf(t, dir)
			_, err = Open(dir, bare)
			wantCode(t, err, test.code)
			_ = running.Put(Ref{"r2", 1}, Value{}) // what is readable to a running agent may change
			if test.code == CodeStoreDamaged || test.code == CodeInsecure {
				_, err := Open(dir, bare)
				wantCode(t, err, test.code)
			}
			if test.code == CodeStoreDamaged && contentOf(t, dir) != before {
				t.Error("the store was overwritten")
			}
		})
	}
}

func contentOf(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, storeName))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func TestAStoreThatVanishedIsNotBegunAnew(t *testing.T) {
	dir := stateDir(t)
	s := mustOpen(t, dir)
	mustPut(t, s, Ref{"r1", 1}, "a")
	if err := os.Remove(filepath.Join(dir, storeName)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.Put(Ref{"r2", 1}, Value{}), CodeStoreDamaged)
	if _, err := os.Stat(filepath.Join(dir, storeName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want no store", err)
	}
}

func TestManyPutAndGetAtTheSameTime(t *testing.T) {
	dir := stateDir(t)
	s := mustOpen(t, dir)
	var wg sync.WaitGroup
	for i := range 8 {
		ref := Ref{fmt.Sprintf("r%d", i), 1}
		wg.Go(func() {
			for range 5 {
				if err := s.Put(ref, Value{"user of " + ref.ID, restic.NewSecret(ref.ID)}); err != nil {
					t.Error(err)
				}
				wantSecret(t, s, ref, ref.ID)
			}
		})
	}
	wg.Wait()
	s = mustOpen(t, dir)
	for i := range 8 {
		wantSecret(t, s, Ref{fmt.Sprintf("r%d", i), 1}, fmt.Sprintf("r%d", i))
	}
}

// TestACrashLeavesTheOldOrTheNew stops a write at the moments when the disk can be
// seen: what a crash leaves behind is not in the way of the next start.
func TestACrashLeavesTheOldOrTheNew(t *testing.T) {
	t.Run("after the key was kept, before anything was sealed", func(t *testing.T) {
		dir := stateDir(t)
		key, err := keyFile{filepath.Join(dir, "key")}.take()
		if err != nil {
			t.Fatal(err)
		}
		if s := mustOpen(t, dir); !bytes.Equal(s.key, key) {
			t.Error("another key was made")
		}
	})
	t.Run("while the new store was written beside the old", func(t *testing.T) {
		dir := stateDir(t)
		mustPut(t, mustOpen(t, dir), Ref{"r1", 1}, "a")
		half := []byte(contentOf(t, dir))[:80]
		if err := os.WriteFile(filepath.Join(dir, "."+storeName+".123"), half, 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, dir)
		wantSecret(t, s, Ref{"r1", 1}, "a")
		mustPut(t, s, Ref{"r1", 1}, "b")
		wantSecret(t, mustOpen(t, dir), Ref{"r1", 1}, "b")
	})
}

// TestAKilledWriterLeavesTheOldOrTheNew kills a process that writes without a pause,
// and opens what it left.
func TestAKilledWriterLeavesTheOldOrTheNew(t *testing.T) {
	if dir := os.Getenv("RM_TEST_WRITE_IN"); dir != "" {
		for i := 0; ; i++ {
			mustPut(t, mustOpen(t, dir), Ref{"r1", 1}, strings.Repeat(fmt.Sprint(i%10), 2000))
		}
	}
	dir := stateDir(t)
	mustPut(t, mustOpen(t, dir), Ref{"r1", 1}, strings.Repeat("x", 2000))
	for round := range 15 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "RM_TEST_WRITE_IN="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := contentOf(t, dir)
		for deadline := time.Now().Add(10 * time.Second); contentOf(t, dir) == before; {
			if time.Now().After(deadline) {
				t.Fatal("the writer writes nothing")
			}
		}
		time.AfterFunc(time.Duration(round)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		v, err := mustOpen(t, dir).Get(Ref{"r1", 1})
		if text := v.Secret.Reveal(); err != nil || len(text) != 2000 || strings.Trim(text, text[:1]) != "" {
			t.Fatalf("got %.20q…, %v", text, err)
		}
	}
}

// TestTheStoreNeverGrowsBeyondWhatIsRead: a server that sends large secrets must not
// cost the host its identity.
func TestTheStoreNeverGrowsBeyondWhatIsRead(t *testing.T) {
	dir := stateDir(t)
	s := mustOpen(t, dir)
	if err := s.SetIdentity(Value{Username: "host", Secret: restic.NewSecret("identity")}); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, Ref{"small", 1}, "small")
	var err error
	for i := range 10 {
		if err = s.Put(Ref{fmt.Sprint("large ", i), 1}, Value{Secret: restic.NewSecret(strings.Repeat("x", 1<<20))}); err != nil {
			break
		}
	}
	wantCode(t, err, CodeStoreFull)
	s = mustOpen(t, dir)
	wantSecret(t, s, Ref{"small", 1}, "small")
	if v, err := s.Identity(); err != nil || v.Secret.Reveal() != "identity" {
		t.Errorf("the identity: %v", err)
	}
}
