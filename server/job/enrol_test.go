package job_test

import (
	"sync"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

func TestATokenMakesOneAgentHoweverManyTry(t *testing.T) {
	each(t, func(w *world) {
		h := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: "web-1"}
		token := &fleet.EnrolmentToken{ID: fleet.NewID[fleet.TokenID](), HostID: h.ID, SecretHash: "t", ExpiresAt: fleet.At(w.clock.now().Add(time.Hour))}
		w.write(func(tx *store.Tx) error {
			if err := tx.CreateHost(w.Context(), h); err != nil {
				return err
			}
			return tx.CreateEnrolmentToken(w.Context(), token)
		})
		var mu sync.Mutex
		var winners []job.Enrolment
		var group sync.WaitGroup
		for range 40 {
			e := job.Enrolment{TokenHash: "t", Install: fleet.NewID[string](), SecretHash: "s", Hostname: "web 1 (böse)", OS: "linux"}
			group.Go(func() {
				_, err := w.jobs.Enrol(w.Context(), job.Actor{}, e)
				if err == nil {
					mu.Lock()
					winners = append(winners, e)
					mu.Unlock()
				} else if !fleet.Is(err, fleet.EnrolmentTokenUsed) {
					w.Error(err)
				}
			})
		}
		group.Wait()
		if len(winners) != 1 {
			w.Fatalf("%d agents enrolled with one token", len(winners))
		}
		audited := w.audited("host.enrol")
		again, err := w.jobs.Enrol(w.Context(), job.Actor{}, winners[0])
		w.must(err)
		if again.ID != h.ID || again.SnapshotHost != "web-1-b-se" {
			w.Errorf("a repeat got host %s, named %q for restic", again.ID, again.SnapshotHost)
		}
		if audited != 1 || w.audited("host.enrol") != 1 {
			w.Errorf("got %d and then %d audit entries, want one", audited, w.audited("host.enrol"))
		}
		winners[0].SecretHash = "another"
		_, err = w.jobs.Enrol(w.Context(), job.Actor{}, winners[0])
		w.wantCode(err, fleet.EnrolmentTokenUsed)
		_, err = w.jobs.Enrol(w.Context(), job.Actor{}, job.Enrolment{TokenHash: "unknown", Install: fleet.NewID[string]()})
		w.wantCode(err, fleet.EnrolmentTokenInvalid)
	})
}

func (w *world) audited(action string) int {
	w.Helper()
	list, _, err := w.store.AuditEntries(w.Context(), store.AuditFilter{Action: action}, store.Page{Size: 200})
	w.must(err)
	return len(list)
}

func TestEveryChangeOfAPersonIsAudited(t *testing.T) {
	w := lite(t)
	_, s := w.ready()
	j := w.run(s)
	if _, created, err := w.jobs.RunSchedule(t.Context(), someone, s.HostID, s.ID, 0); err != nil || created {
		t.Fatalf("got %v, %v", created, err)
	}
	for range 2 {
		_, err := w.jobs.Cancel(t.Context(), someone, j.ID)
		if err != nil && !fleet.Is(err, fleet.JobFinished) {
			t.Fatal(err)
		}
	}
	if n := w.audited("job.create"); n != 1 {
		t.Errorf("got %d entries for one job", n)
	}
	if n := w.audited("job.cancel"); n != 1 {
		t.Errorf("got %d entries for one cancel", n)
	}
}

func TestBothSecretsWorkUntilTheNewOneIsUsed(t *testing.T) {
	w := lite(t)
	a, _ := w.ready()
	for range 2 { // idempotent
		w.must(w.jobs.RotateSecret(t.Context(), someone, a.id, a.session, "next"))
	}
	i, err := w.store.Installation(t.Context(), a.id.Install)
	w.must(err)
	if i.SecretHash != "secret of web-1" || i.NextSecretHash != "next" {
		t.Errorf("got %q and then %q", i.SecretHash, i.NextSecretHash)
	}
	if n := w.audited("host.rotate_secret"); n != 1 {
		t.Errorf("got %d audit entries, want one", n)
	}
}
