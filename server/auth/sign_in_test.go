package auth_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

const password = "a long password"

type world struct {
	store     *store.Store
	auth      *auth.Auth
	setupFile string
}

func newWorld(t *testing.T, secure bool) *world {
	t.Helper()
	hasher, err := auth.NewHasher(auth.LeastCost(), 2)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: storetest.New(t), setupFile: filepath.Join(t.TempDir(), "setup-code")}
	w.auth = auth.New(auth.Options{
		Store: w.store, Hasher: hasher, Log: slog.New(slog.DiscardHandler), Secure: secure, SetupFile: w.setupFile,
	})
	return w
}

// setUp makes the first account and gives the cookie of its sign-in.
func (w *world) setUp(t *testing.T) *http.Cookie {
	t.Helper()
	code, err := w.auth.OpenSetup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, cookie, err := w.auth.CompleteSetup(visit(t.Context()), code, "admin", password)
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}

func visit(ctx context.Context) context.Context {
	return auth.WithVisit(ctx, &auth.Visit{Address: netip.MustParseAddr("192.0.2.1")})
}

// ask tells whether a request with the cookie is let in.
func (w *world) ask(t *testing.T, cookie *http.Cookie, header ...string) error {
	t.Helper()
	r := httptest.NewRequestWithContext(visit(t.Context()), "GET", "/", nil)
	r.AddCookie(cookie)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	_, err := w.auth.Admit(r, auth.Viewer)
	return err
}

func TestASignInEndsWithoutUseAndInAnyCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		used := w.setUp(t)
		_, left, err := w.auth.SignIn(visit(t.Context()), "admin", password)
		if err != nil {
			t.Fatal(err)
		}
		for range 7 { // 21 h
			time.Sleep(3 * time.Hour)
			if err := w.ask(t, used); err != nil {
				t.Fatalf("in use: %v", err)
			}
			_ = w.ask(t, left, "Sec-Fetch-Mode", "cors") // what a forgotten tab does by itself
		}
		if err := w.ask(t, left); !fleet.Is(err, fleet.SignInEnded) {
			t.Errorf("without use for 8 h: %v", err)
		}
		time.Sleep(3*time.Hour + time.Second)
		if err := w.ask(t, used); !fleet.Is(err, fleet.SignInEnded) {
			t.Errorf("after 24 h: %v", err)
		}
	})
}

func TestAFullDiskSignsNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		cookie := w.setUp(t)
		w.auth.Refuse(fleet.Errorf(fleet.ServerDiskFull, "Full."))
		time.Sleep(time.Hour)
		if err := w.ask(t, cookie); err != nil {
			t.Errorf("nothing can be read while the disk is full: %v", err)
		}
		if _, _, err := w.auth.SignIn(visit(t.Context()), "admin", password); !fleet.Is(err, fleet.ServerDiskFull) {
			t.Errorf("a sign-in that was not kept: %v", err)
		}
		w.auth.Refuse(fleet.Errorf(fleet.Unavailable, "Away."))
		if err := w.ask(t, cookie); !fleet.Is(err, fleet.Unavailable) {
			t.Errorf("another failure is passed over: %v", err)
		}
	})
}

func TestTheCookieIsClosedToEverybodyElse(t *testing.T) {
	t.Run("by HTTPS", func(t *testing.T) {
		c := newWorld(t, true).setUp(t)
		if c.Name != "__Host-rm" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("got %s", c)
		}
	})
	t.Run("on loopback", func(t *testing.T) {
		c := newWorld(t, false).setUp(t)
		if c.Name != "rm" || c.Secure || !c.HttpOnly || len(c.Value) != 43 {
			t.Errorf("got %s", c)
		}
	})
}

func TestSignInsAreKeptAsHashes(t *testing.T) {
	w := newWorld(t, false)
	c := w.setUp(t)
	if _, found, err := w.store.SignIns().FindCtx(t.Context(), c.Value); err != nil || found {
		t.Errorf("the cookie's own value is known to the store: %t, %v", found, err)
	}
	if err := w.ask(t, c); err != nil {
		t.Error(err)
	}
}

func TestAHashOfAnotherCostIsReplacedAtTheNextSignIn(t *testing.T) {
	w := newWorld(t, false)
	w.setUp(t)
	before, err := w.store.UserByName(t.Context(), "admin")
	if err != nil {
		t.Fatal(err)
	}
	dearer := auth.LeastCost()
	dearer.Iterations++
	hasher, err := auth.NewHasher(dearer, 1)
	if err != nil {
		t.Fatal(err)
	}
	again := auth.New(auth.Options{Store: w.store, Hasher: hasher, Log: slog.New(slog.DiscardHandler)})
	for _, guess := range []string{"wrong", password, password} {
		_, _, err := again.SignIn(visit(t.Context()), "admin", guess)
		if (err == nil) != (guess == password) {
			t.Fatalf("%s: %v", guess, err)
		}
	}
	after, err := w.store.UserByName(t.Context(), "admin")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(before.PasswordHash, "m=19456,t=2,p=1") || !strings.Contains(after.PasswordHash, "m=19456,t=3,p=1") {
		t.Errorf("before %.40s, after %.40s", before.PasswordHash, after.PasswordHash)
	}
	if after.Generation != before.Generation {
		t.Error("the new hash ended sign-ins")
	}
}

func TestTheLeastCostIsKept(t *testing.T) {
	for name, change := range map[string]func(*auth.Cost){
		"memory": func(c *auth.Cost) { c.MemoryKiB-- }, "rounds": func(c *auth.Cost) { c.Iterations-- }, "lanes": func(c *auth.Cost) { c.Lanes-- },
	} {
		cost := auth.LeastCost()
		change(&cost)
		if _, err := auth.NewHasher(cost, 1); err == nil {
			t.Errorf("less %s was taken", name)
		}
	}
	if _, err := auth.NewHasher(auth.LeastCost(), 0); err == nil {
		t.Error("no hash at a time was taken")
	}
}

// TestAFloodOfGuessesGetsNoMoreOfThemThrough sends guesses at the same time, so that
// all of them pass the first look at the throttle.
func TestAFloodOfGuessesGetsNoMoreOfThemThrough(t *testing.T) {
	w := newWorld(t, false)
	w.setUp(t)
	var mu sync.Mutex
	codes := map[fleet.Code]int{}
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			_, _, err := w.auth.SignIn(visit(t.Context()), "admin", "wrong")
			mu.Lock()
			defer mu.Unlock()
			codes[fleet.CodeOf(err)]++
		})
	}
	all.Wait()
	// As many as are hashed at the same time may slip through beside the ten.
	if n := codes[fleet.InvalidCredentials]; n < 10 || n > 11 {
		t.Errorf("got %v", codes)
	}
}

func TestTheSetupCodeStandsInAPrivateFileUntilItWasUsed(t *testing.T) {
	w := newWorld(t, false)
	code, err := w.auth.OpenSetup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(w.setupFile)
	if err != nil || strings.TrimSpace(string(text)) != code || len(code) != 26 {
		t.Fatalf("file %q, %v; code %q", text, err, code)
	}
	if info, err := os.Stat(w.setupFile); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	t.Run("another start keeps it", func(t *testing.T) {
		if again, err := w.auth.OpenSetup(t.Context()); err != nil || again != code {
			t.Errorf("got %q, %v", again, err)
		}
	})
	t.Run("a file that somebody else wrote is not believed", func(t *testing.T) {
		if err := os.WriteFile(w.setupFile, []byte("GUESSED\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		fresh, err := w.auth.OpenSetup(t.Context())
		if err != nil || fresh == "GUESSED" || fresh == code {
			t.Errorf("got %q, %v", fresh, err)
		}
		code = fresh
		if info, err := os.Stat(w.setupFile); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	})
	if _, _, err := w.auth.CompleteSetup(visit(t.Context()), strings.ToLower(code)+" ", "ana", password); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.setupFile); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if code, err := w.auth.OpenSetup(t.Context()); err != nil || code != "" {
		t.Errorf("got %q, %v", code, err)
	}
}

func TestAPasswordResetEndsSignIns(t *testing.T) {
	w := newWorld(t, false)
	c := w.setUp(t)
	if err := w.auth.ResetPassword(t.Context(), "admin", "another password"); err != nil {
		t.Fatal(err)
	}
	if err := w.ask(t, c); !fleet.Is(err, fleet.SignInEnded) {
		t.Errorf("got %v", err)
	}
	if _, _, err := w.auth.SignIn(visit(t.Context()), "admin", "another password"); err != nil {
		t.Error(err)
	}
	if err := w.auth.ResetPassword(t.Context(), "nobody", password); !fleet.Is(err, fleet.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
