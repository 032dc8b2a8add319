//go:build linux

package bench_test

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
)

// agent is what a simulated agent remembers: no more than what its next request
// must say.
type agent struct {
	session  string
	journal  string
	acked    int64
	revision int64
}

func bearer(s seat) string { return "Authorization: Bearer " + s.Host + "." + s.Secret + "\r\n" }

// open begins a session and takes the configuration.
func (a *agent) open(l *line, s seat) error {
	if a.journal == "" {
		a.journal = uuid.NewString()
	}
	var opened control.SessionAnswer
	err := a.call(l, s, "/agent/v1/sessions", control.SessionRequest{
		InstallId: s.Install, JournalId: a.journal, AckedSeq: a.acked, ConfigRevision: a.revision,
		AgentVersion: "1.0.0", ResticVersion: "0.18.0", Os: "linux", Arch: "amd64", Hostname: "bench",
		Protocol: control.ProtocolRange{Min: 1, Max: 1}, BootId: a.journal, Jobs: []control.AgentJob{}, AgentTime: time.Now().UTC(),
	}, nil, &opened)
	if err != nil {
		return err
	}
	a.session = opened.SessionId
	_, err = a.sync(l, s, 0, nil)
	return err
}

// sync asks once and takes what is said. got tells whether a command was in it.
func (a *agent) sync(l *line, s seat, wait int, parked func()) (got bool, err error) {
	var told control.SyncAnswer
	err = a.call(l, s, "/agent/v1/sync", a.request(wait), parked, &told)
	if err != nil {
		return false, err
	}
	if told.Config != nil {
		a.revision = told.Config.Revision
	}
	for _, c := range told.Commands {
		a.acked = max(a.acked, c.Seq)
	}
	return len(told.Commands) > 0, nil
}

func (a *agent) request(wait int) control.SyncRequest {
	return control.SyncRequest{
		SessionId: a.session, JournalId: a.journal, AckedSeq: a.acked, ConfigRevision: a.revision, WaitS: wait,
		AgentTime: time.Now().UTC(), UptimeMs: 1000, Spool: &control.SpoolSummary{},
		LastExchange: &control.LastExchange{Kind: "ok", Status: 200, HoldS: wait},
	}
}

func (a *agent) call(l *line, s seat, path string, request any, sent func(), into any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	answer, err := l.post(path, bearer(s), body, sent)
	if err != nil {
		return err
	}
	if err := answer.err(); err != nil {
		return err
	}
	return json.Unmarshal(answer.body, into)
}
