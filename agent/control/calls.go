package control

import (
	"context"
	"io"
	"net/http"
	"time"

	"restic-manager/restic"
)

// Enrol turns a token into an identity, which the caller passes to Identify.
// Codes: enrolment_token_invalid, enrolment_token_used.
func (l *Link) Enrol(ctx context.Context, r EnrolRequest) (*EnrolAnswer, error) {
	return decode[EnrolAnswer](l.exchange(ctx, r, call{build: NewEnrolRequestWithBody, retry: true, unsigned: true}))
}

// OpenSession begins a process life. Codes: protocol_unsupported and those of every
// signed call.
func (l *Link) OpenSession(ctx context.Context, r SessionRequest) (*SessionAnswer, error) {
	return decode[SessionAnswer](l.exchange(ctx, r, call{build: NewOpenSessionRequestWithBody, limit: requestLimit}))
}

// NoWait in SyncRequest.WaitS asks for an answer at once.
const NoWait = -1

// Sync asks once and waits for up to the hold, which it sets in the request unless
// that says NoWait. It also fills in LastExchange and AgentTime.
func (l *Link) Sync(ctx context.Context, r SyncRequest) (*SyncAnswer, error) {
	began := time.Now()
	var asked time.Duration
	if r.WaitS != NoWait {
		asked = l.hold.wait(began)
	}
	r.WaitS = int(asked / time.Second)
	r.LastExchange, r.AgentTime = l.LastExchange(), began.UTC()
	answer, err := decode[SyncAnswer](l.exchange(ctx, r, call{
		build: NewSyncRequestWithBody, hold: asked, limit: asked + parkedGrace,
	}))
	l.note(began, asked, err)
	if asked > 0 {
		// What was learned is kept in memory also when it cannot be kept on disk.
		_ = l.hold.observe(context.WithoutCancel(ctx), time.Now(), asked, err)
	}
	return answer, err
}

// Prepared is a report as it travels: encoded and compressed once, however often it is
// sent. It is sent by one goroutine at a time.
type Prepared struct{ body *payload }

// PrepareReport makes a report ready to be sent.
func PrepareReport(r ReportRequest) (*Prepared, error) {
	body, err := prepare(r)
	if err != nil {
		return nil, err
	}
	return &Prepared{body}, nil
}

// Report hands over records, once. Code body_too_large asks for less at a time.
func (l *Link) Report(ctx context.Context, p *Prepared) (*ReportAnswer, error) {
	return decode[ReportAnswer](l.exchangeBody(ctx, p.body, call{build: NewReportRequestWithBody, media: mediaJSON, limit: reportLimit}))
}

// Fetched is a secret with the reference it was asked by.
type Fetched struct {
	ID       string
	Version  int64
	Username string
	Value    restic.Secret
}

// FetchSecrets fetches the values behind references. Code secret_not_yours.
func (l *Link) FetchSecrets(ctx context.Context, r SecretsRequest) ([]Fetched, error) {
	body, err := l.exchange(ctx, r, call{build: NewFetchSecretsRequestWithBody, retry: true})
	answer, err := decode[SecretsAnswer](body, err)
	clear(body)
	if err != nil {
		return nil, err
	}
	fetched := make([]Fetched, len(answer.Secrets))
	for i, s := range answer.Secrets {
		fetched[i] = Fetched{ID: s.Id, Version: s.Version, Username: s.Username, Value: restic.NewSecret(s.Value)}
	}
	return fetched, nil
}

// Rotate tells the server the hash of the next agent secret. It may be repeated
// with the same hash.
func (l *Link) Rotate(ctx context.Context, r CredentialRotation) error {
	_, err := l.exchange(ctx, r, call{build: NewRotateCredentialRequestWithBody, retry: true})
	return err
}

// CloseSession ends a session in order.
func (l *Link) CloseSession(ctx context.Context, sessionID string) error {
	build := func(server, _ string, _ io.Reader) (*http.Request, error) {
		return NewCloseSessionRequest(server, sessionID)
	}
	_, err := l.exchange(ctx, nil, call{build: build, retry: true})
	return err
}

// PutArtifact hands over one part of a large result. Code artifact_offset, with
// ExpectedOffset, says where to go on.
func (l *Link) PutArtifact(ctx context.Context, jobID, name string, p PutArtifactParams, part []byte) (*ArtifactAnswer, error) {
	build := func(server, media string, body io.Reader) (*http.Request, error) {
		return NewPutArtifactRequestWithBody(server, jobID, name, &p, media, body)
	}
	return decode[ArtifactAnswer](l.exchangeBody(ctx, &payload{plain: part}, call{
		build: build, media: "application/octet-stream", retry: true,
	}))
}
