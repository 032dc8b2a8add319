package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/custody"
	"restic-manager/agent/policy"
	"restic-manager/agent/runner"
	"restic-manager/agent/secret"
	"restic-manager/agent/service"
	"restic-manager/agent/spool"
)

// Verdict says how serious a finding is.
type Verdict string

// The verdicts. Only Bad keeps something from working.
const (
	Good    Verdict = "ok"
	Warning Verdict = "warning"
	Bad     Verdict = "problem"
	Unknown Verdict = "not seen" // could not be looked at, because of something else
)

// Finding is what Examine saw of one thing.
type Finding struct {
	Subject string
	Verdict Verdict
	Says    string
	Next    string // what helps
}

// examination is one run of the doctor.
type examination struct {
	config   Config
	getenv   func(string) string
	version  string
	identity Identity
	findings []Finding
}

func (x *examination) found(v Verdict, subject, says, next string) {
	x.findings = append(x.findings, Finding{Subject: subject, Verdict: v, Says: says, Next: next})
}

const examineDeadline = 20 * time.Second

// Examine looks at everything that the agent needs. It changes nothing, and does not
// disturb an agent that is running.
func Examine(ctx context.Context, configPath, version string, getenv func(string) string) []Finding {
	x := &examination{version: version, getenv: getenv}
	config, err := ReadConfig(configPath, getenv)
	if err != nil {
		x.found(Bad, "configuration", err.Error(), "correct it")
		return x.findings
	}
	x.config = config
	x.configuration()
	x.state()
	x.server(ctx)
	x.restic(ctx)
	x.policy()
	x.scripts()
	x.repositories(ctx)
	x.service()
	for _, other := range FindOthers("/") {
		x.found(Warning, "other schedule", other.Says, other.Next+", once its backups are made here")
	}
	return x.findings
}

// service looks whether the agent runs, and will after the next start of the machine.
func (x *examination) service() {
	const subject = "service"
	manager, err := service.Open()
	if err != nil {
		x.found(Unknown, subject, err.Error(), "")
		return
	}
	state, err := manager.State()
	switch {
	case err != nil:
		x.found(Unknown, subject, err.Error(), "")
	case state == service.Running:
		x.found(Good, subject, fmt.Sprintf("%s runs (%s)", service.Name, manager), "")
	case state == service.Stopped:
		x.found(Warning, subject, fmt.Sprintf("%s is installed and does not run (%s)", service.Name, manager), "run: restic-manager-agent service start")
	default:
		x.found(Warning, subject, "the agent is no service of this machine, and does not start with it", "run: restic-manager-agent service install")
	}
}

func (x *examination) configuration() {
	if x.config.Server == "" {
		x.found(Bad, "configuration", "it names no server", "paste the enrolment line that the server shows under Add host")
		return
	}
	x.found(Good, "configuration", "server "+x.config.Server, "")
}

// sealedStore is the file of package secret, which makes it when it is not there.
const sealedStore = "secrets.sealed"

// state looks at the folder with what the agent must remember, and at its identity.
func (x *examination) state() {
	err := custody.CheckFolder(x.config.StateDir, custody.Private)
	var problem *custody.Problem
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.found(Bad, "enrolment", errNotEnrolled.Error(), "")
		return
	case errors.As(err, &problem):
		x.found(Bad, "state", problem.Path+" "+problem.What, problem.Mend)
		return
	case err != nil:
		x.found(Bad, "state", err.Error(), "run the doctor as the agent's user, normally root")
		return
	}
	if free, _, err := spool.FreeSpace(x.config.StateDir); err == nil {
		x.room(free)
	}
	if _, err := os.Stat(filepath.Join(x.config.StateDir, sealedStore)); errors.Is(err, fs.ErrNotExist) {
		x.found(Bad, "enrolment", errNotEnrolled.Error(), "")
		return
	}
	store, err := secret.Open(x.config.StateDir, x.getenv)
	if err != nil {
		var known *secret.Error
		if errors.As(err, &known) {
			x.found(Bad, "secrets", known.What, known.Next)
			return
		}
		x.found(Bad, "secrets", err.Error(), "")
		return
	}
	x.identity, err = loadIdentity(store)
	if err == nil && x.identity.HostID == "" {
		err = errNotEnrolled
	}
	if err != nil {
		x.found(Bad, "enrolment", err.Error(), "")
		return
	}
	x.found(Good, "enrolment", "host "+x.identity.HostID, "")
	x.found(Good, "secrets", "the key is kept as: "+store.Rung(), "")
}

// leastRoom is what the agent needs to note what it does.
const leastRoom = 4 << 20

// room looks whether the agent can note what it does.
func (x *examination) room(free int64) {
	if free < leastRoom {
		x.found(Bad, "state", fmt.Sprintf("only %s are free where %s is: backups fail, the agent takes no orders, and forgets what it did when it ends", humanize.IBytes(uint64(max(0, free))), x.config.StateDir),
			"make room there; the agent finds it by itself")
	}
}

// server asks with a session that cannot exist: the refusal proves the way there, the
// server's identity and the agent's secret, and disturbs no session that does.
func (x *examination) server(ctx context.Context) {
	if x.config.Server == "" {
		return
	}
	link, err := control.NewLink(x.config.linkOptions(x.identity, x.version, nil))
	if err != nil {
		x.found(Bad, "server", err.Error(), "")
		return
	}
	defer link.Close()
	ctx, cancel := context.WithTimeout(ctx, examineDeadline)
	defer cancel()
	_, err = link.Sync(ctx, control.SyncRequest{
		SessionId: uuid.NewString(), JournalId: uuid.NewString(), WaitS: control.NoWait,
	})
	var transport *control.TransportError
	var refusal *control.Refusal
	switch {
	case errors.As(err, &transport) && x.untrusted("server", "", "ca_file", err):
		return
	case errors.As(err, &transport):
		x.found(Bad, "server", err.Error(), strings.TrimPrefix(transportAdvice(transport.Kind), "; "))
		return
	case control.IsRefusal(err, codeCredentialUnknown) && x.identity.HostID == "":
		x.found(Good, "server", "it is reached; this machine is not enrolled yet", "")
	case control.IsRefusal(err, codeCredentialUnknown):
		x.found(Bad, "server", "it is reached, but does not know this agent's secret", "make an enrolment line for this host at the server, and paste it here")
	case control.IsRefusal(err, codeSessionUnknown), control.IsRefusal(err, codeSessionSuperseded):
		x.found(Good, "server", "it is reached, and knows this agent", "")
	case errors.As(err, &refusal) && endsSession(err):
		x.found(Bad, "server", "it is reached, and refuses this agent: "+refusal.Error(), "look at the host's page at the server")
	case errors.As(err, &refusal): // too busy, or in trouble of its own: it did not come to look who asks
		x.found(Warning, "server", "it is reached, but does not say whether it knows this agent: "+refusal.Error(), "try again in a minute")
	case err != nil:
		x.found(Bad, "server", err.Error(), "")
		return
	}
	x.clock(ctx)
}

// clock compares this machine's time with the server's, as any of its answers has it.
func (x *examination) clock(ctx context.Context) {
	offset, err := x.config.serverOffset(ctx)
	switch {
	case err != nil:
		x.found(Unknown, "clock", "the server did not tell its time: "+cause(err).Error(), "")
	case offset.Abs() > maxSkew:
		x.found(Bad, "clock", fmt.Sprintf("it differs from the server's by %s", offset.Abs().Round(time.Second)),
			"set the clock, for instance by turning on time synchronisation")
	default:
		x.found(Good, "clock", "it agrees with the server's", "")
	}
}

// serverOffset is how far the server's clock is ahead, to a second or two.
func (c Config) serverOffset(ctx context.Context) (time.Duration, error) {
	client, err := c.serverClient()
	if err != nil {
		return 0, err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, c.Server+"/", nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	_ = response.Body.Close()
	said, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return 0, errors.New("no date in its answer")
	}
	return time.Until(said), nil
}

func (x *examination) restic(ctx context.Context) {
	path, version, err := findRestic(ctx, x.config, x.getenv)
	if err != nil {
		says, next, _ := strings.Cut(resticWords(err), "; ")
		x.found(Bad, "restic", says, next)
		return
	}
	x.found(Good, "restic", version.String()+" at "+path, "")
}

func (x *examination) policy() {
	summary := PolicySummary(x.config)
	if summary.State == policy.StateLocked {
		x.found(Bad, "policy", summary.Message, summary.NextStep)
		return
	}
	x.found(Good, "policy", "profile "+summary.Profile+" in "+x.config.Policy, "")
}

// repositories looks whether the storage of each repository in force is reached: by
// HTTP, or as a folder. It opens none.
func (x *examination) repositories(ctx context.Context) {
	if x.identity.HostID == "" {
		return
	}
	offered, err := spool.LoadConfig(x.config.hostDir(x.identity.HostID))
	if errors.Is(err, fs.ErrNotExist) {
		x.found(Unknown, "repository", "the server has sent no configuration yet", "")
		return
	}
	if err != nil {
		x.found(Bad, "repository", err.Error(), "start the agent: it fetches the configuration anew")
		return
	}
	config, err := understandConfig(offered, x.identity.HostID)
	if err != nil {
		x.found(Bad, "repository", err.Error(), "correct it at the server")
		return
	}
	if len(config.Repositories) == 0 {
		x.found(Unknown, "repository", "no schedule names one for this machine yet", "")
	}
	rules, policyErr := x.config.loadPolicy()
	for _, repository := range config.Repositories {
		if policyErr == nil {
			if err := rules.AllowRepository(repository.Location.String()); err != nil {
				x.found(Bad, "repository", err.Error(), "")
				continue
			}
		}
		x.storage(ctx, repository)
	}
}

func (x *examination) storage(ctx context.Context, r runner.Repository) {
	if !r.Location.REST() {
		if _, err := os.Stat(r.Location.Path()); err != nil {
			x.found(Warning, "repository", fmt.Sprintf("%s: %v", r.Name, err), "mount the disk, or wait until it is initialised")
			return
		}
		x.found(Good, "repository", r.Name+": the folder is there", "")
		return
	}
	client, err := x.config.storageClient()
	if err != nil {
		x.found(Bad, "repository", err.Error(), "correct restic_ca_file in the configuration")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, examineDeadline)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, strings.TrimPrefix(r.Location.String(), "rest:")+"config", nil)
	if err != nil {
		x.found(Bad, "repository", err.Error(), "")
		return
	}
	response, err := client.Do(request)
	if err != nil && x.untrusted("repository", r.Name+": ", "restic_ca_file", err) {
		return
	}
	if err != nil {
		x.found(Bad, "repository", fmt.Sprintf("%s: the storage is not reached: %v", r.Name, cause(err)),
			"look at the address, the firewall, and restic_proxy and restic_ca_file in the configuration")
		return
	}
	_ = response.Body.Close()
	if response.StatusCode >= 500 || response.StatusCode == http.StatusProxyAuthRequired {
		x.found(Bad, "repository", fmt.Sprintf("%s: the storage, or a proxy on the way, answers with an error (%s)", r.Name, response.Status),
			"look at the storage's own log, and at restic_proxy in the configuration")
		return
	}
	says := fmt.Sprintf("%s: the storage answers (%d)", r.Name, response.StatusCode)
	if response.StatusCode == http.StatusUnauthorized { // nothing was sent to sign in with
		says = r.Name + ": the storage answers, and asks for a password, as it should"
	}
	x.found(Good, "repository", says, "")
	if !r.Location.Encrypted() && !loopback(request.URL.Hostname()) {
		x.found(Warning, "repository", r.Name+": the way there is not encrypted", "use https, if the storage can")
	}
}

// untrusted adds a finding if an error is about a certificate, and reports whether.
func (x *examination) untrusted(subject, before, setting string, err error) bool {
	says, next, is := untrusted(err, setting, time.Now())
	if is {
		x.found(Bad, subject, before+says, next)
	}
	return is
}

// cause is an error of the network without the method and address before it.
func cause(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	return err
}
