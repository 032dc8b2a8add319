//go:build !windows

package restictest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// What only the real programs can show.

func eachSuite(t *testing.T, test func(t *testing.T, w *world)) {
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			test(t, newRealWorld(t, restictest.Find(t, suite), restic.Config{}))
		})
	}
}

func TestAnOldResticIsRefusedByName(t *testing.T) {
	bins := restictest.Find(t, restictest.TooOld)
	w := &world{t: t, dir: t.TempDir()}
	_, err := restic.New(w.config(bins.Restic, restic.Config{})).Version(t.Context())
	if restic.CodeOf(err) != restic.CodeResticTooOld || err.Error() != "restic_too_old: 0.14.0 < 0.18.0" {
		t.Errorf("got %v", err)
	}
}

// nastyNames are file names that programs stumble over: every byte that a name
// can have, what looks like an option or a pattern, and what is not UTF-8.
func nastyNames() []string {
	names := []string{
		"-", "--", "-v", "--password-command=touch pwned", "--stdin", "--host=x", "*", "?", "[a-z]", "**", "{a,b}", "~", "~root",
		"$HOME", "${HOME}", "$(id)", "`id`", "a;b", "a|b", "a&b", "a>b", "'", "\"", "\\", "\\\\", "a\\", "#", "#comment", "!", "!x",
		" ", "  ", " lead", "trail ", "\t", "\n", "a\nb", "\nlead", "trail\n", "\r\n", "\xef\xbb\xbfbom", "\xff", "\xfe\xff", "a\xffb",
		"\xc3", "\xed\xa0\x80", "ä", "a\u0308", "\u202egpj.exe", "\u2028", "日本語", "🙂", "...", "..x", ".hidden", "con", "nul", "a:b",
		strings.Repeat("n", 255), strings.Repeat("ö", 127),
	}
	for b := 1; b < 256; b++ {
		if b != '/' {
			names = append(names, "byte"+string([]byte{byte(b)})+"end")
		}
	}
	return names
}

func TestNastyNamesComeBackByteByByte(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		source := filepath.Join(w.dir, "source")
		if err := os.Mkdir(source, 0o700); err != nil {
			t.Fatal(err)
		}
		var sources []string
		want := map[string]string{}
		for i, name := range nastyNames() {
			want[name] = fmt.Sprint("content ", i)
			path := source + "/" + name
			if err := os.WriteFile(path, []byte(want[name]), 0o600); err != nil {
				t.Fatal(err)
			}
			sources = append(sources, path)
		}
		summary := mustSucceed(w, run(w, restic.Backup{Sources: sources, Excludes: []string{"#never", "$HOMELESS"}, Host: "h"}))
		if int(summary.TotalFilesProcessed) != len(want) {
			t.Errorf("processed %d of %d files", summary.TotalFilesProcessed, len(want))
		}
		target := filepath.Join(w.dir, "target")
		w.plain("restore", summary.SnapshotID, "--target", target)
		entries, err := os.ReadDir(filepath.Join(target, source))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, entry := range entries {
			content, err := os.ReadFile(filepath.Join(target, source) + "/" + entry.Name())
			if err != nil {
				t.Fatal(err)
			}
			got[entry.Name()] = string(content)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("restored (-want +got):\n%s", diff)
		}
	})
}

func TestPasswordsOpenTheSameRepositoryForPlainRestic(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		for i, password := range []string{" blanks \t", "line\nbreak", "ünï$(id)`'\""} {
			w.access = w.server.Access(fmt.Sprint("r", i), password)
			mustSucceed(w, run(w, restic.Init{}))
			w.plain("cat", "config")
			mustSucceed(w, run(w, restic.CatConfig{}))
		}
	})
}

func TestAKilledResticIsAFailureAndItsLockIsSeen(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		endless := filepath.Join(w.dir, "endless")
		if err := os.WriteFile(endless, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(endless, 64<<30); err != nil {
			t.Fatal(err)
		}
		var ref restic.ProcessRef
		h := w.handlers()
		h.Started = func(r restic.ProcessRef) error { ref = r; return nil }
		h.Progress = func(restic.Progress) { _ = syscall.Kill(ref.PID, syscall.SIGKILL) }
		result := runWith(t.Context(), w, restic.Backup{Sources: []string{endless}, Host: "h"}, w.access, h)
		if result.Outcome != restic.Failed || result.Failure.Code != restic.CodeResticKilled {
			t.Fatalf("got %s %v", result.Outcome, result.Failure)
		}
		ids := mustSucceed(w, run(w, restic.ListLocks{}))
		if len(ids) != 1 {
			t.Fatalf("got locks %v", ids)
		}
		lock := mustSucceed(w, run(w, restic.CatLock{ID: ids[0]}))
		if host, _ := os.Hostname(); lock.PID != ref.PID || lock.Exclusive || lock.Host != host {
			t.Errorf("got %+v, want that of process %d", lock, ref.PID)
		}
	})
}

// TestAResticThatWasNotRecordedDoesNothing ends the agent's part between start and
// record: restic gets no password and goes by itself, without a lock.
func TestAResticThatWasNotRecordedDoesNothing(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		h := w.handlers()
		h.Started = func(restic.ProcessRef) error { return fmt.Errorf("the journal is full") }
		_, err := restic.Run(t.Context(), w.runner, restic.Backup{Sources: []string{w.file("a")}, Host: "h"}, w.access, h)
		if err == nil {
			t.Fatal("the run went on")
		}
		if list := mustSucceed(w, run(w, restic.Snapshots{})); len(list) != 0 {
			t.Errorf("there are snapshots: %v", list)
		}
		if ids := mustSucceed(w, run(w, restic.ListLocks{})); len(ids) != 0 {
			t.Errorf("there are locks: %v", ids)
		}
		cmd := w.command("cat", "config")
		cmd.Env = append(cmd.Env, "RESTIC_PASSWORD=", "RESTIC_PASSWORD_FILE=/dev/fd/3")
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		write.Close() // what the kernel does when the agent dies
		defer read.Close()
		cmd.ExtraFiles = []*os.File{read}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "empty password") {
			t.Errorf("got %v %s", err, out)
		}
	})
}

func TestCertificatesOfAPrivateAuthority(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		cert, key := selfSigned(t, w.dir)
		w.server.Stop()
		w.server = restictest.StartRestServer(t, w.bins, restictest.WithDataDir(w.server.DataDir), restictest.WithTLS(cert, key))
		w.access = w.server.Access("repo", password)

		w.runner = restic.New(w.config(w.bins.Restic, restic.Config{HopelessAfter: time.Second}))
		mustFail(w, run(w, restic.CatConfig{}), restic.CodeRepoTLS)

		w.runner = restic.New(w.config(w.bins.Restic, restic.Config{CACertFile: cert}))
		mustSucceed(w, run(w, restic.CatConfig{}))
	})
}

func selfSigned(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nas.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// TestNoSecretIsVisibleInTheProcessTable samples the arguments of a restic at
// work, as any user of the machine could.
func TestNoSecretIsVisibleInTheProcessTable(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		endless := filepath.Join(w.dir, "endless")
		if err := os.WriteFile(endless, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(endless, 64<<30); err != nil {
			t.Fatal(err)
		}
		var ref restic.ProcessRef
		var seen, environ []byte
		h := w.handlers()
		h.Started = func(r restic.ProcessRef) error { ref = r; return nil }
		h.Progress = func(restic.Progress) {
			seen, _ = os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", ref.PID))
			environ, _ = os.ReadFile(fmt.Sprintf("/proc/%d/environ", ref.PID))
			cancel()
		}
		runWith(ctx, w, restic.Backup{Sources: []string{endless}, Host: "h"}, w.access, h)
		if !strings.Contains(string(seen), "backup") {
			t.Fatalf("got no arguments: %q", seen)
		}
		for _, secret := range []string{password, w.server.Password} {
			if strings.Contains(string(seen), secret) {
				t.Errorf("a secret is in %q", seen)
			}
		}
		if strings.Contains(string(environ), password) {
			t.Error("the repository's password is in the environment")
		}
	})
}
