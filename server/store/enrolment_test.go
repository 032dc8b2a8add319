package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func addToken(t *testing.T, s *store.Store, h *fleet.Host, hash string) *fleet.EnrolmentToken {
	t.Helper()
	token := &fleet.EnrolmentToken{ID: fleet.NewID[fleet.TokenID](), HostID: h.ID, SecretHash: hash, ExpiresAt: fleet.At(s.Now().Add(time.Hour))}
	write(t, s, func(tx *store.Tx) error { return tx.CreateEnrolmentToken(t.Context(), token) })
	return token
}

func enrol(t *testing.T, s *store.Store, token, install, secret string) (fleet.HostID, bool, error) {
	t.Helper()
	var id fleet.HostID
	var repeated bool
	err := s.Write(t.Context(), func(tx *store.Tx) (err error) {
		id, repeated, err = tx.Enrol(t.Context(), store.Enrolment{TokenHash: token, InstallID: install, SecretHash: secret, Hostname: "web-1.test", OS: "linux"})
		return err
	})
	return id, repeated, err
}

func TestATokenIsUsedByOneOfTwoHundredInstallations(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := addHost(t, s, "web-1")
		addToken(t, s, h, "token")
		var won, refused atomic.Int64
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				id, _, err := enrol(t, s, "token", fmt.Sprint("install-", i), "secret")
				switch {
				case err == nil && id == h.ID:
					won.Add(1)
				case fleet.Is(err, fleet.EnrolmentTokenUsed):
					refused.Add(1)
				default:
					t.Errorf("installation %d: %s, %v", i, id, err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || refused.Load() != 199 {
			t.Errorf("%d installations used the token and %d were refused, want 1 and 199", won.Load(), refused.Load())
		}
		if list, err := s.Installations(t.Context(), h.ID); err != nil || len(list) != 1 {
			t.Errorf("%d installations, %v; want one", len(list), err)
		}
	})
}

func TestARepeatedEnrolmentGivesTheSameHostAndChangesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := addHost(t, s, "web-1")
		addToken(t, s, h, "token")
		if id, repeated, err := enrol(t, s, "token", "i1", "s1"); err != nil || id != h.ID || repeated {
			t.Fatalf("first: %s, %v, %v", id, repeated, err)
		}
		first := readHost(t, s, h.ID)
		if id, repeated, err := enrol(t, s, "token", "i1", "s1"); err != nil || id != h.ID || !repeated {
			t.Errorf("repeat: %s, %v, %v", id, repeated, err)
		}
		if after := readHost(t, s, h.ID); *after != *first {
			t.Errorf("the repeat changed the host: %+v", after)
		}
		if first.SnapshotHost != "web-1.test" || first.EnrolledAt.IsZero() {
			t.Errorf("the host is %q, enrolled at %d", first.SnapshotHost, first.EnrolledAt)
		}
		_, _, err := enrol(t, s, "token", "i1", "another secret")
		wantCode(t, err, fleet.EnrolmentTokenUsed)
		_, _, err = enrol(t, s, "token", "i2", "s1")
		wantCode(t, err, fleet.EnrolmentTokenUsed)
	})
}

func TestATokenThatIsUnknownExpiredOrRevokedIsInvalid(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		_, _, err := enrol(t, s, "never made", "i1", "s1")
		wantCode(t, err, fleet.EnrolmentTokenInvalid)

		addToken(t, s, h, "replaced")
		revoked := addToken(t, s, h, "revoked") // revokes the one before
		_, _, err = enrol(t, s, "replaced", "i1", "s1")
		wantCode(t, err, fleet.EnrolmentTokenInvalid)
		for range 2 {
			write(t, s, func(tx *store.Tx) error { return tx.RevokeEnrolmentToken(t.Context(), h.ID, revoked.ID) })
		}
		_, _, err = enrol(t, s, "revoked", "i1", "s1")
		wantCode(t, err, fleet.EnrolmentTokenInvalid)

		addToken(t, s, h, "late")
		c.advance(time.Hour)
		_, _, err = enrol(t, s, "late", "i1", "s1")
		wantCode(t, err, fleet.EnrolmentTokenInvalid)
		if got := readHost(t, s, h.ID); !got.EnrolledAt.IsZero() {
			t.Error("a useless token enrolled the host")
		}
	})
}

func TestTheOlderInstallationWorksUntilTheNewOneSignsIn(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		addToken(t, s, h, "t1")
		if _, _, err := enrol(t, s, "t1", "old", "s1"); err != nil {
			t.Fatal(err)
		}
		activate := func(id string) error {
			return s.Write(t.Context(), func(tx *store.Tx) error { return tx.ActivateInstallation(t.Context(), h.ID, id) })
		}
		if err := activate("old"); err != nil {
			t.Fatal(err)
		}
		c.advance(time.Minute)
		addToken(t, s, h, "t2")
		if _, _, err := enrol(t, s, "t2", "new", "s2"); err != nil {
			t.Fatal(err)
		}
		if err := activate("old"); err != nil {
			t.Errorf("the old installation lost its place before the new one signed in: %v", err)
		}
		for range 2 {
			if err := activate("new"); err != nil {
				t.Fatal(err)
			}
		}
		wantCode(t, activate("old"), fleet.CredentialUnknown)
		list, err := s.Installations(t.Context(), h.ID)
		if err != nil || len(list) != 2 || list[0].ID != "new" || !list[0].Active || list[1].Active || list[1].SupersededAt.IsZero() {
			t.Errorf("installations: %+v, %v", list, err)
		}
	})
}

func TestAnInstallationStaysWithItsHost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		one, two := addHost(t, s, "web-1"), addHost(t, s, "web-2")
		addToken(t, s, one, "t1")
		addToken(t, s, two, "t2")
		addToken(t, s, one, "t3")
		if _, _, err := enrol(t, s, "t1", "i1", "s1"); !fleet.Is(err, fleet.EnrolmentTokenInvalid) {
			t.Fatalf("t1 was replaced by t3: %v", err)
		}
		if _, _, err := enrol(t, s, "t3", "i1", "s1"); err != nil {
			t.Fatal(err)
		}
		_, _, err := enrol(t, s, "t2", "i1", "s1")
		wantCode(t, err, fleet.AgentMismatch)
		if token, err := s.EnrolmentTokens(t.Context(), two.ID); err != nil || token[0].State(s.Now()) != "open" {
			t.Errorf("the token of the other host was used up: %+v, %v", token, err)
		}
		addToken(t, s, one, "t4")
		if id, repeated, err := enrol(t, s, "t4", "i1", "s9"); err != nil || id != one.ID || repeated {
			t.Errorf("enrolled again: %s, %v, %v", id, repeated, err)
		}
		if i, err := s.Installation(t.Context(), "i1"); err != nil || i.SecretHash != "s9" {
			t.Errorf("the new token did not bring the new secret: %+v, %v", i, err)
		}
	})
}

func TestARotatedSecretIsAdoptedOnce(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		addToken(t, s, h, "t1")
		if _, _, err := enrol(t, s, "t1", "i1", "old"); err != nil {
			t.Fatal(err)
		}
		adopt := func(hash string) (adopted bool) {
			write(t, s, func(tx *store.Tx) (err error) { adopted, err = tx.AdoptSecret(t.Context(), "i1", hash); return err })
			return adopted
		}
		offer := func() {
			write(t, s, func(tx *store.Tx) error { return tx.OfferSecret(t.Context(), "i1", "new", tx.Now.Add(24*time.Hour)) })
		}
		offer()
		c.advance(24 * time.Hour)
		if adopt("new") {
			t.Error("an offered secret was adopted after its time")
		}
		offer()
		if adopt("other") || !adopt("new") || adopt("new") {
			t.Error("the offered secret shall be adopted once, and no other")
		}
		if i, err := s.Installation(t.Context(), "i1"); err != nil || i.SecretHash != "new" || i.NextSecretHash != "" {
			t.Errorf("%+v, %v", i, err)
		}
	})
}

func TestANewSessionSupersedesTheOneBefore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := addHost(t, s, "web-1")
		open := func(boot string) *fleet.Session {
			var session *fleet.Session
			write(t, s, func(tx *store.Tx) (err error) {
				session, err = tx.OpenSession(t.Context(), h.ID, "i1", boot)
				return err
			})
			return session
		}
		first, second := open("b1"), open("b1")
		if first.No != 1 || second.No != 2 {
			t.Errorf("numbered %d and %d", first.No, second.No)
		}
		if got, err := s.Session(t.Context(), first.ID); err != nil || got.SupersededAt.IsZero() {
			t.Errorf("the first session: %+v, %v", got, err)
		}
		if got, err := s.Session(t.Context(), second.ID); err != nil || !got.SupersededAt.IsZero() {
			t.Errorf("the second session: %+v, %v", got, err)
		}
		for range 2 {
			write(t, s, func(tx *store.Tx) error { return tx.CloseSession(t.Context(), h.ID, second.ID) })
		}
		if got, err := s.Session(t.Context(), second.ID); err != nil || got.ClosedAt.IsZero() {
			t.Errorf("the closed session: %+v, %v", got, err)
		}
		_, err := s.Session(t.Context(), "nobody")
		wantCode(t, err, fleet.SessionUnknown)
	})
}

func TestSessionsOpenedAtOnceLeaveOneThatIsNotSuperseded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := addHost(t, s, "web-1")
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				writeBeside(t, s, func(tx *store.Tx) error {
					_, err := tx.OpenSession(t.Context(), h.ID, "i1", "b1")
					return err
				})
			})
		}
		all.Wait()
		var open int
		if err := s.Scalar(t.Context(), &open, `SELECT count(*) FROM sessions WHERE superseded_at = 0`); err != nil || open != 1 {
			t.Errorf("%d sessions are not superseded, %v; want one", open, err)
		}
	})
}

func TestClonesAreToldFromRestarts(t *testing.T) {
	for name, c := range map[string]struct {
		boots []string
		want  int
	}{
		"an agent that crashes and starts again": {[]string{"a", "a", "a", "a", "a", "a"}, 0},
		"a machine that boots again and again":   {[]string{"a", "b", "c", "d", "e", "f"}, 0},
		"two clones that take turns":             {[]string{"a", "b", "a", "b", "a", "b"}, 4},
		"a machine that is moved once and back":  {[]string{"a", "a", "b", "b", "a", "a"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.New(t)
			h := addHost(t, s, "web-1")
			for _, boot := range c.boots {
				write(t, s, func(tx *store.Tx) error {
					_, err := tx.OpenSession(t.Context(), h.ID, "i1", boot)
					return err
				})
			}
			got, err := s.Alternations(t.Context(), h.ID, fleet.At(s.Now().Add(-time.Hour)))
			if err != nil || got != c.want {
				t.Errorf("%d alternations, %v; want %d", got, err, c.want)
			}
			if got, err := s.Alternations(t.Context(), h.ID, fleet.At(s.Now().Add(time.Hour))); err != nil || got != 0 {
				t.Errorf("%d alternations since later, %v; want none", got, err)
			}
		})
	}
}
