package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/program"
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

// enrolment makes the lines to paste. The token goes through standard input; it stands
// in no command line that other users could see, since printf is a part of the shell.
func (h *Handlers) enrolment(host *fleet.Host, token *fleet.EnrolmentToken, secret string) Enrolment {
	arguments := []string{"--server", strings.TrimSuffix(h.publicURL.String(), "/")}
	if h.pin != "" {
		arguments = append(arguments, "--pin", h.pin)
	}
	arguments = append(arguments, "--profile", string(host.Profile))
	for _, prefix := range host.Prefixes.Items() {
		arguments = append(arguments, "--allow-repository", prefix)
	}
	arguments = append(arguments, "--token-stdin")
	e := Enrolment{
		Token:         toToken(token, h.store.Now()),
		EnrollLinux:   "printf %s " + shellQuote(secret) + " | restic-manager-agent enroll" + words(arguments, shellQuote),
		EnrollWindows: powerShellQuote(secret) + " | & restic-manager-agent.exe enroll" + words(arguments, powerShellQuote),
	}
	e.LineLinux, e.LineWindows = e.EnrollLinux, e.EnrollWindows
	if digest := h.installerDigest(program.LinuxInstaller, "linux"); digest != "" {
		e.LineLinux = linuxLine(arguments, h.pin, digest, secret)
	}
	if digest := h.installerDigest(program.WindowsInstaller, "windows"); digest != "" {
		e.LineWindows = windowsLine(arguments, digest, secret)
	}
	return e
}

// words writes arguments after a command. Names of flags, and values that mean the
// same in every shell, stay as they are; what people have typed is always quoted.
func words(arguments []string, quote func(string) string) string {
	var line strings.Builder
	before := ""
	for _, a := range arguments {
		if before == "--allow-repository" || !plainWord.MatchString(a) {
			a = quote(a)
		}
		line.WriteString(" " + a)
		before = a
	}
	return line.String()
}

// installerDigest is what an installer must have, or empty where it would have no
// agent to install on that system.
func (h *Handlers) installerDigest(name, system string) string {
	programs, err := h.programs.Newest()
	if err != nil {
		h.log.Error("programs not read", "err", err)
		return ""
	}
	if !slices.ContainsFunc(programs, func(p program.Program) bool { return p.Name == program.Agent && p.OS == system }) {
		return ""
	}
	text, err := h.programs.Installer(name, h.pin)
	if err != nil {
		h.log.Error("installer not made", "err", err)
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// linuxLine fetches the installer, which needs curl or wget and is trusted by its
// digest alone, and runs it. The script stands in an argument of sh and holds nothing
// secret.
func linuxLine(arguments []string, pin, digest, secret string) string {
	curl, wget := "curl -fsS", "wget -q"
	if pin != "" {
		curl, wget = "curl -fsS -k --pinnedpubkey "+program.CurlPin(pin), "wget -q --no-check-certificate"
	}
	url := arguments[1] + "/install/" + program.LinuxInstaller
	if !plainWord.MatchString(url) {
		url = shellQuote(url)
	}
	script := `set -e; f=$(mktemp); trap 'rm -f "$f"' EXIT; u=` + url + `; ` +
		`if command -v curl >/dev/null; then ` + curl + ` -o "$f" "$u"; else ` + wget + ` -O "$f" "$u"; fi; ` +
		`if [ "$(sha256sum "$f" | cut -c1-64)" != ` + digest + ` ]; then echo "install.sh is not the one of this line: make a new line" >&2; exit 1; fi; ` +
		`sh "$f"` + words(arguments, shellQuote)
	return "printf %s " + shellQuote(secret) + " | sh -c " + shellQuote(script)
}

// windowsLine does the same in PowerShell, without a file that a policy for scripts
// could refuse.
func windowsLine(arguments []string, digest, secret string) string {
	url := powerShellQuote(arguments[1] + "/install/" + program.WindowsInstaller)
	quoted := make([]string, len(arguments))
	for i, a := range arguments {
		quoted[i] = powerShellQuote(a)
	}
	return "& { $ErrorActionPreference='Stop'; $f=[IO.Path]::GetTempFileName(); curl.exe -fsS -k -o $f " + url + "; " +
		"$b=[IO.File]::ReadAllBytes($f); Remove-Item $f; " +
		"$h=[BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash($b)).Replace('-',''); " +
		"if ($h -ne '" + digest + "') { throw 'install.ps1 is not the one of this line: make a new line' }; " +
		"$s=[ScriptBlock]::Create([Text.Encoding]::UTF8.GetString($b)); " +
		powerShellQuote(secret) + " | & $s @(" + strings.Join(quoted, ",") + ") }"
}

// plainWord has nothing that any shell takes for something else.
var plainWord = regexp.MustCompile(`^(--)?[A-Za-z0-9][A-Za-z0-9.:/_-]*$`)

// shellQuote makes a text one word of a POSIX shell.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// powerShellQuote makes a text one word of PowerShell, which takes typographic
// quotation marks for plain ones.
func powerShellQuote(text string) string {
	return "'" + strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(text) + "'"
}
