package api

import (
	"context"
	"io"
	"time"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
)

// agentOf is the agent of a request, as the verbs of server/job want to know it: by
// its secret alone, never by what the request says.
func agentOf(ctx context.Context) job.Agent {
	id := auth.AgentOf(ctx)
	return job.Agent{Host: id.Host, Install: id.Install}
}

// marker proves that an answer is the server's.
const marker = ResticManager1

// answered is the members that every answer to an agent has.
func (h *Handlers) answered(ctx context.Context) AgentAnswer {
	return AgentAnswer{Protocol: marker, ServerTime: h.store.Now().UTC(), RequestId: auth.VisitOf(ctx).ID}
}

// Enrol turns a one-time token into an agent's identity.
func (h *Handlers) Enrol(ctx context.Context, r EnrolRequestObject) (EnrolResponseObject, error) {
	var host *fleet.Host
	err := h.auth.Enrol(ctx, func() (err error) {
		host, err = h.jobs.Enrol(ctx, actor(ctx), job.Enrolment{
			TokenHash: auth.HashSecret(r.Body.Token), Install: r.Body.InstallId, SecretHash: r.Body.SecretHash,
			Hostname: r.Body.Hostname, OS: r.Body.Os, Arch: r.Body.Arch, AgentVersion: r.Body.AgentVersion,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	a := h.answered(ctx)
	return Enrol200JSONResponse{
		Protocol: a.Protocol, ServerTime: a.ServerTime, RequestId: a.RequestId, HostId: string(host.ID), HostName: host.Name,
	}, nil
}

// CloseSession ends a session in order.
func (h *Handlers) CloseSession(ctx context.Context, r CloseSessionRequestObject) (CloseSessionResponseObject, error) {
	if err := h.jobs.CloseSession(ctx, agentOf(ctx), fleet.SessionID(r.SessionId)); err != nil {
		return nil, err
	}
	return CloseSession200JSONResponse(h.answered(ctx)), nil
}

// RotateCredential lets another secret of the agent work.
func (h *Handlers) RotateCredential(ctx context.Context, r RotateCredentialRequestObject) (RotateCredentialResponseObject, error) {
	a := agentOf(ctx)
	err := h.jobs.RotateSecret(ctx, actor(ctx), a, fleet.SessionID(r.Body.SessionId), r.Body.NewSecretHash)
	if err != nil {
		return nil, err
	}
	h.auth.ForgetAgent(a.Host)
	return RotateCredential200JSONResponse(h.answered(ctx)), nil
}

// FetchSecrets hands out the values behind references.
func (h *Handlers) FetchSecrets(ctx context.Context, r FetchSecretsRequestObject) (FetchSecretsResponseObject, error) {
	refs := make([]job.SecretRef, len(r.Body.Refs))
	for i, ref := range r.Body.Refs {
		refs[i] = job.SecretRef{ID: fleet.CredentialID(ref.Id), Version: ref.Version}
	}
	values, err := h.jobs.FetchSecrets(ctx, agentOf(ctx), fleet.SessionID(r.Body.SessionId), refs)
	if err != nil {
		return nil, err
	}
	a := h.answered(ctx)
	answer := FetchSecrets200JSONResponse{Protocol: a.Protocol, ServerTime: a.ServerTime, RequestId: a.RequestId, Secrets: make([]SecretValue, len(values))}
	for i, v := range values {
		answer.Secrets[i] = SecretValue{Id: string(v.ID), Version: v.Version, Username: v.Username, Value: v.Value.Reveal()}
	}
	return answer, nil
}

// PutArtifact takes a part of a large result.
func (h *Handlers) PutArtifact(ctx context.Context, r PutArtifactRequestObject) (PutArtifactResponseObject, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, job.MaxPart+1))
	if err != nil {
		return nil, fleet.Wrap(fleet.Invalid, err, "The part did not arrive whole.")
	}
	next, complete, err := h.jobs.PutPart(ctx, agentOf(ctx), job.Part{
		Job: fleet.JobID(r.JobId), Name: r.Name, Offset: r.Params.Offset, Last: r.Params.Last, Data: data,
	})
	if err != nil {
		return nil, err
	}
	a := h.answered(ctx)
	return PutArtifact200JSONResponse{
		Protocol: a.Protocol, ServerTime: a.ServerTime, RequestId: a.RequestId, NextOffset: next, Complete: complete,
	}, nil
}

// OpenSession begins a process life of an agent.
func (h *Handlers) OpenSession(ctx context.Context, r OpenSessionRequestObject) (OpenSessionResponseObject, error) {
	agent := agentOf(ctx)
	if r.Body.InstallId != agent.Install {
		return nil, fleet.Errorf(fleet.AgentMismatch, "The agent's secret belongs to another installation.").At("/install_id")
	}
	release, err := h.crowd.arrivals.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	opened, err := h.jobs.OpenSession(ctx, agent, toSessionRequest(r.Body))
	if err != nil {
		return nil, err
	}
	a := h.answered(ctx)
	answer := OpenSession200JSONResponse{
		Protocol: a.Protocol, ServerTime: a.ServerTime, RequestId: a.RequestId,
		SessionId: string(opened.Session), SessionNo: opened.No, ProtocolVersion: opened.Protocol, ServerEpoch: opened.Epoch,
		Jobs: make([]JobVerdict, len(opened.Jobs)),
		Limits: Limits{
			MaxWaitS: int(job.MaxHold / time.Second), ReportBytes: job.MaxReportBytes, ReportRecords: job.MaxReportRecords,
			ReportItems: job.MaxReportItems, ArtifactBytes: job.MaxPart,
		},
	}
	for i, v := range opened.Jobs {
		answer.Jobs[i] = JobVerdict{JobId: string(v.Job), Verdict: v.Verdict, NextEventSeq: v.NextEventSeq, NextLogSeq: v.NextLogSeq}
	}
	return answer, nil
}

func toSessionRequest(b *SessionRequest) *job.SessionRequest {
	r := &job.SessionRequest{
		JournalID: b.JournalId, AckedSeq: b.AckedSeq, BootID: b.BootId, MinProtocol: b.Protocol.Min, MaxProtocol: b.Protocol.Max,
		ConfigRevision: b.ConfigRevision, AgentTime: b.AgentTime, AgentVersion: b.AgentVersion, ResticVersion: b.ResticVersion,
		OS: b.Os, Arch: b.Arch, Jobs: make([]job.AgentJob, len(b.Jobs)), Status: toStatus(b.Policy, b.Health, b.Spool, nil),
	}
	told(&r.Status, b.Offers, b.Slots, b.Absences)
	for i, j := range b.Jobs {
		r.Jobs[i] = job.AgentJob{
			ID: fleet.JobID(j.JobId), Epoch: j.Epoch, Phase: j.Phase, Writer: j.WriterId,
			NextEventSeq: j.NextEventSeq, NextLogSeq: j.NextLogSeq,
		}
	}
	return r
}

// told adds what an agent tells of its schedules; what it left out stays "not told".
func told(st *job.Status, offers Offers, slots []SlotClaim, absences []Absence) {
	if offers.Hooks != nil || offers.Sources != nil {
		st.Offers = &job.Offers{}
		for _, o := range offers.Hooks {
			st.Offers.Hooks = append(st.Offers.Hooks, job.Offer(o))
		}
		for _, o := range offers.Sources {
			st.Offers.Sources = append(st.Offers.Sources, job.Offer(o))
		}
	}
	if absences != nil {
		st.Absences = make([]job.Absence, len(absences))
		for i, a := range absences {
			st.Absences[i] = job.Absence{From: a.From, To: a.To, Reason: a.Reason}
		}
	}
	for _, c := range slots {
		st.Claims = append(st.Claims, job.Claim{
			Schedule: fleet.ScheduleID(c.ScheduleId), Version: c.ScheduleVersion, From: c.From, Until: c.Until,
		})
	}
}

func toStatus(policy *PolicyReport, health []HealthProblem, spool *SpoolSummary, last *LastExchange) job.Status {
	var s job.Status
	if policy != nil {
		s.Policy = &job.PolicyReport{
			State: policy.State, Code: policy.Code, Message: policy.Message, NextStep: policy.NextStep,
			Profile: policy.Profile, Digest: policy.Digest,
		}
		for _, rule := range policy.Rules {
			s.Policy.Rules = append(s.Policy.Rules, job.PolicyRule(rule))
		}
		for _, rule := range policy.Maintenance {
			s.Policy.Maintenance = append(s.Policy.Maintenance, fleet.MaintenanceRule(rule))
		}
		if r := policy.Restore; r.StagingDir != "" {
			s.Policy.Restore = &job.RestoreRule{
				StagingDir: r.StagingDir, InPlace: r.InPlace, PreservePrivileged: r.PreservePrivileged, MaxBytes: r.MaxBytes,
			}
		}
	}
	for _, p := range health {
		s.Health = append(s.Health, job.HealthProblem(p))
	}
	if spool != nil {
		s.Spool = &job.SpoolSummary{Bytes: spool.Bytes, Jobs: spool.Jobs, OldestAt: spool.OldestAt, DroppedLines: spool.DroppedLines}
	}
	if last != nil {
		s.LastExchange = &job.LastExchange{
			Kind: last.Kind, Status: last.Status, ElapsedMs: last.ElapsedMs, HoldS: last.HoldS, Message: last.Message,
		}
	}
	return s
}
