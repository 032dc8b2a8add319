package model_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent"
	"restic-manager/agent/custody"
	"restic-manager/agent/secret"
	"restic-manager/restic"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// template is a fleet before any history: a database with an account, enrolled hosts,
// repositories and schedules, and the hosts' state folders. Each history gets a copy.
type template struct {
	dir    string
	hasher *auth.Hasher
	cookie string
	until  time.Time // when it was finished, in virtual time

	ready, fresh string // repositories: one that is usable, one that nobody has made yet
	hosts        []enrolled
}

// enrolled is a host and what identifies its agent.
type enrolled struct {
	identity  agent.Identity
	schedules []string // the first backs up to the ready repository, the second to the fresh one
}

const fleetSize = 3

// newTemplate makes the fleet by the API, in a bubble of its own.
func newTemplate(t *testing.T, dir string) *template {
	t.Helper()
	hasher, err := auth.NewHasher(auth.LeastCost(), 1)
	if err != nil {
		t.Fatal(err)
	}
	m := &template{dir: dir, hasher: hasher}
	synctest.Test(t, func(t *testing.T) {
		none, peace := context.WithCancel(t.Context())
		peace()
		p := &plane{
			dir: filepath.Join(dir, "server"), hasher: hasher, log: slog.New(slog.DiscardHandler), dice: newDice(0, "template"),
			cover: newCoverage(), trouble: none, skew: func() time.Duration { return 0 }, asked: make(chan planeOrder),
		}
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- p.run(ctx) }()
		synctest.Wait()
		if err := m.furnish(ctx, p); err != nil {
			t.Error(err)
		}
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
		m.until = time.Now()
	})
	if t.Failed() {
		t.FailNow()
	}
	return m
}

func (m *template) furnish(ctx context.Context, p *plane) error {
	admin := &person{plane: p}
	code, err := os.ReadFile(filepath.Join(p.dir, "setup-code"))
	if err != nil {
		return err
	}
	account := obj{"code": string(code), "name": adminName, "password": adminPassword}
	if err := admin.call(ctx, "POST", "/api/v1/setup", "", account, nil); err != nil {
		return err
	}
	m.cookie = admin.cookie
	for name, id := range map[string]*string{"ready": &m.ready, "fresh": &m.fresh} {
		var made struct{ ID string }
		body := obj{"name": name, "location": "/srv/" + name}
		if err := admin.call(ctx, "POST", "/api/v1/repositories", "", body, &made); err != nil {
			return err
		}
		*id = made.ID
		// The model is of backups: nothing is maintained by itself.
		if err := admin.call(ctx, "PUT", "/api/v1/repositories/"+made.ID+"/maintenance-plan", "", obj{"zone": "UTC"}, nil); err != nil {
			return err
		}
	}
	for i := range fleetSize {
		h, err := m.enrol(ctx, admin, i)
		if err != nil {
			return fmt.Errorf("host %d: %w", i, err)
		}
		m.hosts = append(m.hosts, h)
	}
	return m.makeReady(ctx, p.current().store)
}

// enrol makes a host with two schedules and its machine's state folder.
func (m *template) enrol(ctx context.Context, admin *person, i int) (enrolled, error) {
	name := fmt.Sprintf("web-%d", i+1)
	var made struct {
		Host, Schedule struct{ ID string }
		Enrolment      struct {
			Line string `json:"enroll_linux"`
		}
	}
	body := obj{"name": name, "repository_id": m.ready, "paths": []string{"/etc"}, "profile": "trusting"}
	if err := admin.call(ctx, "POST", "/api/v1/hosts", "", body, &made); err != nil {
		return enrolled{}, err
	}
	var second struct{ ID string }
	body = obj{"name": "second", "repository_id": m.fresh, "paths": []string{"/srv/data"}, "manual": true}
	if err := admin.call(ctx, "POST", "/api/v1/hosts/"+made.Host.ID+"/schedules", "", body, &second); err != nil {
		return enrolled{}, err
	}
	h := enrolled{
		identity:  agent.Identity{HostID: made.Host.ID, InstallID: uuid.NewString(), Secret: restic.NewSecret(hexID("secret of " + name))},
		schedules: []string{made.Schedule.ID, second.ID},
	}
	_, line, _ := strings.Cut(made.Enrolment.Line, "'")
	token, _, _ := strings.Cut(line, "'")
	machine := &person{plane: admin.plane}
	err := machine.call(ctx, "POST", "/agent/v1/enrolments", "", obj{
		"token": token, "install_id": h.identity.InstallID, "secret_hash": hexID(h.identity.Secret.Reveal()),
		"hostname": name, "os": "linux", "arch": "amd64", "agent_version": "model",
	}, nil)
	if err != nil {
		return enrolled{}, err
	}
	dir := filepath.Join(m.dir, name)
	if err := custody.MakeFolder(dir); err != nil {
		return enrolled{}, err
	}
	_, err = secret.Open(dir, func(string) string { return "" })
	return h, err
}

// makeReady makes one repository usable, as its init did long ago.
func (m *template) makeReady(ctx context.Context, s *store.Store) error {
	id, first := fleet.RepositoryID(m.ready), fleet.NewID[fleet.JobID]()
	return s.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.ClaimInit(ctx, id, first); err != nil {
			return err
		}
		_, err := tx.FinishInit(ctx, id, first, fleet.RepositoryReady, hexID(m.ready), hexID("key"))
		return err
	})
}
