package api

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// How many tokens a list shows, and how long one can be used where nothing else is
// asked for.
const (
	tokensShown     = 100
	defaultValidity = time.Hour
)

// ListEnrolmentTokens lists a host's tokens, newest first, without their secrets.
func (h *Handlers) ListEnrolmentTokens(ctx context.Context, r ListEnrolmentTokensRequestObject) (ListEnrolmentTokensResponseObject, error) {
	id := fleet.HostID(r.HostId)
	if _, err := h.store.Host(ctx, id); err != nil {
		return nil, err
	}
	tokens, err := h.store.EnrolmentTokens(ctx, id)
	if err != nil {
		return nil, err
	}
	tokens = tokens[:min(len(tokens), tokensShown)]
	list := EnrolmentTokenList{Tokens: make([]EnrolmentToken, len(tokens))}
	for i := range tokens {
		list.Tokens[i] = toToken(&tokens[i], h.store.Now())
	}
	return ListEnrolmentTokens200JSONResponse(list), nil
}

// CreateEnrolmentToken makes a new line for a host; the one before it no longer
// works. What the line allows is remembered for the next one.
func (h *Handlers) CreateEnrolmentToken(ctx context.Context, r CreateEnrolmentTokenRequestObject) (CreateEnrolmentTokenResponseObject, error) {
	prefixes, err := checkPrefixes(r.Body.RepositoryPrefixes)
	if err != nil {
		return nil, err
	}
	var host *fleet.Host
	token, secret := newEnrolmentToken(fleet.HostID(r.HostId))
	err = h.store.Update(ctx, auth.Audit(ctx, "host.enrolment-token"), func(tx *store.Tx) error {
		if host, err = tx.LockHost(ctx, token.HostID); err != nil {
			return err
		}
		about(tx, store.ObjectHost, string(host.ID), host.Name)
		if r.Body.Profile != "" {
			host.Profile = fleet.Profile(r.Body.Profile)
		}
		if len(prefixes) > 0 {
			host.Prefixes = fleet.NewList(prefixes)
		}
		tx.Audit.Detail = fmt.Sprintf("profile %s; prefixes %q", host.Profile, host.Prefixes.Items())
		if err := tx.UpdateHost(ctx, host); err != nil {
			return err
		}
		return createToken(ctx, tx, token, time.Duration(r.Body.ValidForS)*time.Second)
	})
	if err != nil {
		return nil, err
	}
	return CreateEnrolmentToken201JSONResponse(h.enrolment(host, token, secret)), nil
}

// RevokeEnrolmentToken makes a token useless.
func (h *Handlers) RevokeEnrolmentToken(ctx context.Context, r RevokeEnrolmentTokenRequestObject) (RevokeEnrolmentTokenResponseObject, error) {
	id := fleet.HostID(r.HostId)
	err := h.store.Update(ctx, auth.Audit(ctx, "host.revoke-token"), func(tx *store.Tx) error {
		host, err := tx.Host(ctx, id)
		if err != nil {
			return err
		}
		about(tx, store.ObjectHost, string(id), host.Name)
		return tx.RevokeEnrolmentToken(ctx, id, fleet.TokenID(r.TokenId))
	})
	return RevokeEnrolmentToken204Response{}, err
}

// newEnrolmentToken makes a token of a host, and the secret that exists in its line
// alone.
func newEnrolmentToken(host fleet.HostID) (*fleet.EnrolmentToken, string) {
	secret, hash := auth.NewToken()
	return &fleet.EnrolmentToken{ID: fleet.NewID[fleet.TokenID](), HostID: host, SecretHash: hash}, secret
}

// createToken adds a token that is good from the moment of the transaction.
func createToken(ctx context.Context, tx *store.Tx, token *fleet.EnrolmentToken, validity time.Duration) error {
	token.CreatedAt, token.ExpiresAt = tx.Now, tx.Now.Add(validity)
	return tx.CreateEnrolmentToken(ctx, token)
}

func toToken(t *fleet.EnrolmentToken, now time.Time) EnrolmentToken {
	return EnrolmentToken{
		Id: string(t.ID), State: EnrolmentTokenState(t.State(now)), CreatedAt: t.CreatedAt.Time(),
		ExpiresAt: t.ExpiresAt.Time(), UsedAt: t.UsedAt.Time(),
	}
}

// checkPrefixes reads the locations that a line is to allow and gives their
// canonical texts.
func checkPrefixes(texts []string) ([]string, error) {
	var found fleet.Fields
	prefixes := make([]string, 0, len(texts))
	for i, text := range texts {
		pointer := fmt.Sprintf("/repository_prefixes/%d", i)
		prefix, err := checkLocation(text, pointer)
		if err != nil {
			found = append(found, err)
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, found.Err()
}

// checkLocation gives a location's canonical text. A quotation mark is refused on
// top of the rules of restic's package: Windows PowerShell cannot hand one on to a
// program, and locations stand in lines that people paste.
func checkLocation(text, pointer string) (string, *fleet.Error) {
	l, err := fleet.CheckLocation(text, pointer)
	if err != nil {
		return "", err
	}
	if strings.Contains(l.String(), `"`) { //guard:location-quote
		return "", fleet.Errorf(fleet.LocationInvalid, "A location cannot hold a quotation mark.").At(pointer)
	}
	return l.String(), nil
}

// enrolment makes the lines to paste. The token reaches the agent through its
// standard input; it stands in no command line that other users could see, since
// printf is a part of the shell.
func (h *Handlers) enrolment(host *fleet.Host, token *fleet.EnrolmentToken, secret string) Enrolment {
	arguments := func(quote func(string) string) string {
		line := " --server " + plainOr(quote, strings.TrimSuffix(h.publicURL.String(), "/"))
		if h.pin != "" {
			line += " --pin " + h.pin
		}
		line += " --profile " + string(host.Profile)
		for _, prefix := range host.Prefixes.Items() {
			line += " --allow-repository " + quote(prefix)
		}
		return line + " --token-stdin"
	}
	return Enrolment{
		Token:       toToken(token, h.store.Now()),
		LineLinux:   "printf %s " + shellQuote(secret) + " | restic-manager-agent enroll" + arguments(shellQuote),
		LineWindows: powerShellQuote(secret) + " | & restic-manager-agent.exe enroll" + arguments(powerShellQuote),
	}
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.:/_-]*$`)

// plainOr leaves a word as it is that means the same in every shell.
func plainOr(quote func(string) string, text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return quote(text)
}

// shellQuote makes a text one word of a POSIX shell.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// powerShellQuote makes a text one word of PowerShell, which takes typographic
// quotation marks for plain ones.
func powerShellQuote(text string) string {
	return "'" + strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(text) + "'"
}
