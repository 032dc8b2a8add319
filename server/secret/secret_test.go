package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

var place = Binding{Table: "credentials", Row: "c1", Column: "sealed", Version: 3}

func someKeys(t *testing.T, first ...byte) *Keys {
	t.Helper()
	var raw [][]byte
	for _, b := range first {
		raw = append(raw, bytes.Repeat([]byte{b}, keySize))
	}
	k, err := newKeys(raw)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustSeal(t *testing.T, k *Keys, b Binding, plain string) string {
	t.Helper()
	sealed, err := k.Seal(b, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code || e.Message == "" || e.Next == "" {
		t.Errorf("got %v, want %s with a next step", err, code)
	}
}

func TestASealedSecretOpensWhereItLies(t *testing.T) {
	k := someKeys(t, 1)
	for _, plain := range []string{"", "password", "\x00\xff", strings.Repeat("long", 10000)} {
		sealed := mustSeal(t, k, place, plain)
		got, err := k.Open(place, sealed)
		if err != nil || string(got) != plain {
			t.Errorf("got %q, %v, want %q", got, err, plain)
		}
		if sealed == mustSeal(t, k, place, plain) {
			t.Error("sealed twice to the same text")
		}
		if plain != "" && strings.Contains(sealed, plain) {
			t.Errorf("%q shows in %q", plain, sealed)
		}
	}
}

func TestASealedSecretOpensNowhereElse(t *testing.T) {
	k := someKeys(t, 1)
	sealed := mustSeal(t, k, place, "password")
	for _, other := range []Binding{
		{"hosts", "c1", "sealed", 3}, {"credentials", "c2", "sealed", 3}, {"credentials", "c1", "username", 3}, {"credentials", "c1", "sealed", 2},
		{"credentialsc1", "", "sealed", 3}, {"credentials", "c1sealed", "", 3}, {},
	} {
		_, err := k.Open(other, sealed)
		wantCode(t, err, CodeIntegrity)
	}
}

func TestEveryChangeOfASealedTextIsFound(t *testing.T) {
	k := someKeys(t, 1)
	sealed := mustSeal(t, k, place, "password")
	for i := range len(sealed) {
		for _, c := range []byte{'A', 'b', '.', ':', ',', 0} {
			if sealed[i] == c {
				continue
			}
			changed := sealed[:i] + string(c) + sealed[i+1:]
			if got, err := k.Open(place, changed); err == nil {
				t.Fatalf("changed at %d it opens to %q", i, got)
			}
		}
		if _, err := k.Open(place, sealed[:i]); err == nil {
			t.Fatalf("cut at %d it opens", i)
		}
	}
	other := mustSeal(t, k, place, "another")
	wraps, _, _ := strings.Cut(strings.TrimPrefix(sealed, prefix), ".")
	_, box, _ := strings.Cut(strings.TrimPrefix(other, prefix), ".")
	_, err := k.Open(place, prefix+wraps+"."+box)
	wantCode(t, err, CodeIntegrity)
	for _, text := range []string{"", "password", prefix, prefix + ".", prefix + "m:x:y", "rm2." + sealed[4:]} {
		_, err := k.Open(place, text)
		wantCode(t, err, CodeIntegrity)
	}
}

func TestAnotherKeyIsNamedAndOpensNothing(t *testing.T) {
	sealed := mustSeal(t, someKeys(t, 1), place, "password")
	_, err := someKeys(t, 2).Open(place, sealed)
	wantCode(t, err, CodeKeyMismatch)
	if !strings.Contains(err.Error(), someKeys(t, 1).KeyID()) || !strings.Contains(err.Error(), someKeys(t, 2).KeyID()) {
		t.Errorf("got %q, want both key ids", err)
	}
}

func TestAKeyIsChangedByWrappingAnew(t *testing.T) {
	old, both, now := someKeys(t, 1), someKeys(t, 2, 1), someKeys(t, 2)
	sealed := mustSeal(t, old, place, "password")
	if got, err := both.Open(place, sealed); err != nil || string(got) != "password" {
		t.Errorf("with both keys: got %q, %v", got, err)
	}
	rewrapped, changed, err := both.Rewrap(sealed)
	if err != nil || !changed {
		t.Fatalf("got changed %v, %v", changed, err)
	}
	if got, err := now.Open(place, rewrapped); err != nil || string(got) != "password" {
		t.Errorf("with the new key alone: got %q, %v", got, err)
	}
	_, err = old.Open(place, rewrapped)
	wantCode(t, err, CodeKeyMismatch)
	if again, changed, err := both.Rewrap(rewrapped); err != nil || changed || again != rewrapped {
		t.Errorf("again: got changed %v, %v", changed, err)
	}
	_, _, err = now.Rewrap(sealed)
	wantCode(t, err, CodeKeyMismatch)
}

func TestWrapsOfKindsToComeAreKept(t *testing.T) {
	old, both := someKeys(t, 1), someKeys(t, 2, 1)
	sealed := mustSeal(t, old, place, "password")
	extended := prefix + "x:recovery:AAAA," + sealed[len(prefix):]
	if got, err := old.Open(place, extended); err != nil || string(got) != "password" {
		t.Errorf("got %q, %v", got, err)
	}
	rewrapped, _, err := both.Rewrap(extended)
	if err != nil || !strings.Contains(rewrapped, ",x:recovery:AAAA.") {
		t.Errorf("got %q, %v", rewrapped, err)
	}
	_, err = old.Open(place, prefix+"x:recovery:AAAA."+strings.Split(sealed, ".")[2])
	wantCode(t, err, CodeIntegrity)
}

func TestANewDatabaseGetsAKeyAndKeepsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealing.key")
	first, check, err := Load(path, "")
	if err != nil || check == "" {
		t.Fatalf("got check %q, %v", check, err)
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	again, newCheck, err := Load(path, check)
	if err != nil || newCheck != "" || again.KeyID() != first.KeyID() {
		t.Errorf("got check %q, %v", newCheck, err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("got %v beside the key file", entries)
	}
}

func TestADatabaseWithSecretsNeverGetsAnotherKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealing.key")
	k, check, err := Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	_, _, err = Load(path, check)
	wantCode(t, err, CodeKeyMissing)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was made: %v", err)
	}

	other := fmt.Sprintf("%064x\n", 5)
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err = Load(path, check)
	wantCode(t, err, CodeKeyMismatch)
	if !strings.Contains(err.Error(), k.KeyID()) {
		t.Errorf("got %q, want the id of the missing key", err)
	}
	if data, _ := os.ReadFile(path); string(data) != other {
		t.Error("the key file was changed")
	}

	kept, err := os.ReadFile(path + ".away")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte(other), kept...), 0o600); err != nil {
		t.Fatal(err)
	}
	_, renewed, err := Load(path, check)
	if err != nil || renewed == "" {
		t.Fatalf("with a new key before the old: got check %q, %v", renewed, err)
	}
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(path, renewed); err != nil {
		t.Errorf("with the new key alone: %v", err)
	}
}

func TestACheckValueThatIsNoneIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealing.key")
	k, _, err := Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	other := mustSeal(t, k, checkBinding(), "another text")
	for _, check := range []string{mustSeal(t, k, place, checkText), other, "x"} {
		_, _, err := Load(path, check)
		wantCode(t, err, CodeIntegrity)
	}
}

func TestServersThatBeginAtOnceShareOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealing.key")
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			k, check, err := Load(path, "")
			if err != nil || k.Verify(check) != nil {
				t.Errorf("got %v", err)
				return
			}
			ids[i] = k.KeyID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("got keys %v", ids)
		}
	}
}

func TestAKeyFileThatIsNotUnderstoodIsRefused(t *testing.T) {
	good := strings.Repeat("ab", keySize)
	for name, text := range map[string]string{
		"empty": "", "comments only": "# none\n", "too short": good[2:], "too long": good + "ab", "no hexadecimal": strings.Repeat("zz", keySize),
		"a broken second line": good + "\nabc\n", "one very long line": strings.Repeat("a", maxKeyFile),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "k")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := Load(path, "")
			wantCode(t, err, CodeKeyInvalid)
			if strings.Contains(err.Error(), good[2:]) {
				t.Errorf("the error repeats the key: %v", err)
			}
			if data, _ := os.ReadFile(path); string(data) != text {
				t.Error("the key file was changed")
			}
		})
	}
	_, err := ReadKeys(t.TempDir())
	wantCode(t, err, CodeKeyInvalid)
}

func TestAKeyFileThatOthersReadIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("its access rules are not looked at")
	}
	path := filepath.Join(t.TempDir(), "k")
	if err := os.WriteFile(path, []byte(strings.Repeat("ab", keySize)), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[fs.FileMode]bool{0o400: true, 0o600: true, 0o640: false, 0o604: false, 0o620: false, 0o666: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadKeys(path)
		if ok && err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
		if !ok {
			wantCode(t, err, CodeKeyInsecure)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k, err := newKeys([][]byte{bytes.Repeat([]byte{1}, keySize)})
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := k.Seal(place, []byte("password"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(prefix + "m:" + k.KeyID() + ":.")
	f.Fuzz(func(t *testing.T, text string) {
		if plain, err := k.Open(place, text); err == nil && string(plain) != "password" {
			t.Errorf("%q opens to %q", text, plain)
		}
	})
}
