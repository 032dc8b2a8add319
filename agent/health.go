package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/restic"
)

// Codes of what is wrong with a host, beside those of the spool, the policy file and
// restic.
const (
	codeClockSkew   = "clock_skew"
	codeSecretStore = "secret_store_problem"
	codeOrphan      = "restic_left_running"
)

// maxSkew is how far the host's clock may be from the server's: schedules fire by it.
const maxSkew = time.Minute

const versionDeadline = 30 * time.Second

// health is what the server learns of the host's condition.
type health struct {
	problems      []control.HealthProblem
	policy        control.PolicyReport
	resticVersion string
	offers        control.Offers
}

// health looks at everything anew. It costs two small files to read: the version of
// restic is asked again only when the program has changed.
func (a *Agent) health(ctx context.Context) health {
	var h health
	h.problems = a.spool.Health()
	rules, err := a.policy()
	summary := policy.SummaryOf(rules, err)
	h.offers = offersOf(rules)
	h.policy = policyReport(summary)
	if summary.State == policy.StateLocked {
		h.add(summary.Code, summary.Message, summary.NextStep)
	}
	h.resticVersion = a.resticHealth(ctx, &h)
	if offset, known := a.link.ClockOffset(); known && offset.Abs() > maxSkew {
		h.add(codeClockSkew,
			fmt.Sprintf("the clock of this host differs from the server's by %s", offset.Abs().Round(time.Second)),
			"set the clock, for instance by turning on time synchronisation")
	}
	if refused := a.inForce.refusal(); refused != nil {
		next := "correct it at the server; until then the one before it is in force"
		if refused.Code == codeConfigNotSaved {
			next = "make room in the agent's state directory, or look at its disk; it is asked for again by itself"
		}
		h.add(refused.Code, fmt.Sprintf("configuration %d is not in force: %s", refused.Revision, refused.Message), next)
	}
	for _, orphan := range a.orphans {
		h.add(codeOrphan, "a restic that an earlier agent left does not end: "+orphan, "look why it hangs, for instance on a dead network mount, end it, and restart the agent")
	}
	h.problems = append(h.problems, a.vault.problems()...)
	h.problems = h.problems[:min(len(h.problems), 50)]
	return h
}

func (h *health) add(code, message, next string) {
	h.problems = append(h.problems, control.HealthProblem{Code: code, Message: clip(message, 2000), NextStep: clip(next, 1000)})
}

// resticHealth returns the version of restic; why it cannot be used becomes a problem.
func (a *Agent) resticHealth(ctx context.Context, h *health) string {
	if a.restic == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, versionDeadline)
	defer cancel()
	version, err := a.usableRestic(ctx)
	var refused *restic.Error
	switch {
	case errors.As(err, &refused):
		h.add(string(refused.Code), refused.Message, refused.Next)
		if refused.Code != restic.CodeResticTooOld {
			return ""
		}
	case err != nil:
		return ""
	}
	return version.String()
}

// usableRestic is the restic's version. One that cannot be used gives way to another that
// was installed meanwhile.
func (a *Agent) usableRestic(ctx context.Context) (restic.Version, error) {
	version, err := a.restic.Version(ctx)
	if err == nil || a.find == nil {
		return version, err
	}
	path, missing := a.find(ctx)
	if missing != nil {
		return version, err
	}
	a.restic.Use(path)
	a.log.Info("restic found", "path", path)
	return a.restic.Version(ctx)
}

// maxMaintained is how many entries of the policy's maintenance section travel.
const maxMaintained = 100

// policyReport is a summary of the policy as it travels.
func policyReport(s policy.Summary) control.PolicyReport {
	report := control.PolicyReport{
		State: s.State, Code: s.Code, Message: clip(s.Message, 2000), NextStep: clip(s.NextStep, 1000),
		Profile: s.Profile, Digest: s.Digest,
	}
	for _, rule := range s.Rules {
		report.Rules = append(report.Rules, control.PolicyRule{Name: rule.Name, Value: rule.Value})
	}
	for _, m := range s.Maintained[:min(len(s.Maintained), maxMaintained)] {
		report.Maintenance = append(report.Maintenance, control.MaintenanceRule{
			Location: cmp.Or(m.Path, m.Location), RunAs: m.RunAs,
			KeepDays: m.KeepDays, KeepLast: m.KeepLast, MaxDeleteFraction: m.MaxDeleteFraction, UndoDays: m.UndoDays,
		})
	}
	report.Restore = control.RestoreRule{
		StagingDir: s.Restore.StagingDir, InPlace: s.Restore.InPlace[:min(len(s.Restore.InPlace), maxMaintained)],
		PreservePrivileged: s.Restore.PreservePrivileged, MaxBytes: s.Restore.MaxBytes,
	}
	return report
}

// shutOutAdvice is for an agent whose secret its server does not know: the host was
// enrolled anew from elsewhere, deleted, or the server's database was set back.
const shutOutAdvice = "make an enrolment line for this host at the server (Hosts, the host, Enrol again) and paste it here; " +
	"results that wait are kept for it"

// noteTrouble logs when the server gets out of reach, and when it is back: once each.
func (a *Agent) noteTrouble(err error) {
	var transport *control.TransportError
	kind := ""
	switch {
	case errors.As(err, &transport):
		kind = string(transport.Kind)
	case control.IsRefusal(err, codeCredentialUnknown):
		kind = codeCredentialUnknown
	case err != nil:
		kind = "refused by the server"
	}
	if before := a.trouble.Swap(&kind); before != nil && *before == kind || before == nil && kind == "" {
		return
	}
	if kind == "" {
		a.log.Info("server reached again")
		return
	}
	if kind == codeCredentialUnknown {
		a.log.Error("the server does not know this agent's secret", "next", shutOutAdvice, "err", err)
		return
	}
	if says, next, is := untrusted(err, "ca_file", time.Now()); is {
		a.log.Warn("server not reached", "kind", kind, "says", says, "next", next)
		return
	}
	a.log.Warn("server not reached", "kind", kind, "err", err)
}
