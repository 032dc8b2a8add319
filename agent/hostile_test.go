package agent

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
)

// TestCommandsThatCannotBeTakenMakeNoBusyLoop has a server that offers, without a
// pause, a number that no agent acknowledges.
func TestCommandsThatCannotBeTakenMakeNoBusyLoop(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 31)
	m.work = m.succeed
	var syncs atomic.Int64
	m.server.fault = func(path string) fault {
		if path == "sync" && syncs.Add(1) > 2000 {
			return fault{hang: true} // lets virtual time go on
		}
		return fault{}
	}
	m.server.commands = []control.Command{{
		Seq: 1 << 60, Id: uuid.NewString(), Kind: "run", JobId: uuid.NewString(), Epoch: 1, Operation: "backup", IssuedAt: time.Now(),
	}}
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		time.Sleep(10 * time.Minute) // virtual
		if n := syncs.Load(); n < 10 || n > 400 {
			t.Errorf("%d syncs in ten minutes", n)
		}
		var told control.SyncRequest
		m.server.look(func() { told = m.server.lastSync })
		if len(told.Health) == 0 || told.Health[0].Code != "command_malformed" {
			t.Errorf("the server was told %+v", told.Health)
		}
		l.end(t)
	})
	if len(m.runs) != 0 {
		t.Errorf("jobs ran: %v", m.runs)
	}
}

// TestConfigurationsDoNotPileUp has a server that sends one configuration after the
// other and never answers when it is asked for the secrets that they name.
func TestConfigurationsDoNotPileUp(t *testing.T) { // not beside others: it counts goroutines
	m := newMachine(t, 32)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		eventually(t, "the first configuration", time.Minute, func() bool { return l.agent.inForce.revision() == 1 })
		m.server.look(func() { m.server.fault = func(path string) fault { return fault{loseAsk: path == "secrets"} } })
		before := runtime.NumGoroutine()
		for revision := int64(2); revision <= 40; revision++ {
			m.server.change(func() {
				m.server.config.Revision = revision
				m.server.config.Repositories = []control.AgentRepository{{
					Id: modelRepository, Name: "nas", Location: "/srv/restic", Password: control.SecretRef{Id: uuid.NewString(), Version: 1},
				}}
			})
			eventually(t, "the next configuration", time.Minute, func() bool { return l.agent.inForce.revision() == revision })
		}
		if more := runtime.NumGoroutine() - before; more > 15 {
			t.Errorf("forty configurations left %d goroutines", more)
		}
		l.end(t)
	})
}

// TestAnAgentThatIsShutOutSaysOnceWhatHelps has a server that does not know it any more.
func TestAnAgentThatIsShutOutSaysOnceWhatHelps(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 41)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		eventually(t, "a session", time.Minute, func() bool { return l.agent.session.Load() != nil })
		known := m.server.hashes
		m.server.change(func() { m.server.hashes = map[string]bool{} })
		time.Sleep(6 * time.Hour) // virtual
		m.server.change(func() { m.server.hashes = known })
		eventually(t, "the server to be reached again", 2*time.Hour, l.agent.reached)
		l.end(t)
	})
	said := m.log.String()
	if n := strings.Count(said, "level=ERROR"); n != 1 || !strings.Contains(said, `next="make an enrolment line for this host`) {
		t.Errorf("told %d times:\n%s", n, said)
	}
	if strings.Count(said, "server reached again") != 1 {
		t.Errorf("its return is not told:\n%s", said)
	}
}
