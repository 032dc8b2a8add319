package api

import (
	"context"
	"fmt"
	"slices"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// initialSchedule is the name of the schedule that a host is added with.
const initialSchedule = "Initial schedule"

// ListHosts lists hosts by name.
func (h *Handlers) ListHosts(ctx context.Context, r ListHostsRequestObject) (ListHostsResponseObject, error) {
	filter := store.HostFilter{
		Query: r.Params.Q, Tag: r.Params.Tag, Presence: fleet.Presence(r.Params.Presence), Protection: fleet.ProtectionState(r.Params.Protection),
		Attention: r.Params.Attention,
	}
	hosts, next, err := h.store.Hosts(ctx, filter, store.Page{Size: r.Params.PageSize, Token: r.Params.PageToken})
	if err != nil {
		return nil, err
	}
	views, err := h.viewHosts(ctx, hosts)
	if err != nil {
		return nil, err
	}
	return ListHosts200JSONResponse{Hosts: views, NextPageToken: next}, nil
}

// CreateHost adds a host with the line that enrols it and, where paths are given,
// a first schedule that fires by run now alone.
func (h *Handlers) CreateHost(ctx context.Context, r CreateHostRequestObject) (CreateHostResponseObject, error) {
	host := &fleet.Host{
		ID: fleet.NewID[fleet.HostID](), Name: r.Body.Name, Tags: fleet.NewList(r.Body.Tags), Profile: fleet.Profile(r.Body.Profile),
		Availability: fleet.Availability(r.Body.Availability),
	}
	if host.Profile == "" {
		host.Profile = fleet.Guarded
	}
	if host.Availability == "" {
		host.Availability = fleet.AlwaysOn
	}
	schedule, err := firstSchedule(host.ID, r.Body)
	if err != nil {
		return nil, err
	}
	prefixes, err := checkPrefixes(r.Body.RepositoryPrefixes)
	if err != nil {
		return nil, err
	}
	token, secret := newEnrolmentToken(host.ID)
	err = h.store.Update(ctx, auth.Audit(ctx, "host.create"), func(tx *store.Tx) error {
		about(tx, store.ObjectHost, string(host.ID), host.Name)
		if host.Prefixes, err = prefixesOr(ctx, tx, prefixes, r.Body.RepositoryId); err != nil {
			return err
		}
		if err := tx.CreateHost(ctx, host); err != nil {
			return err
		}
		if schedule != nil {
			if err := tx.CreateSchedule(ctx, schedule); err != nil {
				return err
			}
		}
		return createToken(ctx, tx, token, defaultValidity)
	})
	if err != nil {
		return nil, err
	}
	return h.created(ctx, host.ID, schedule, token, secret)
}

// firstSchedule makes the schedule that a host is added with, if any: repository
// and paths are given together or not at all.
func firstSchedule(host fleet.HostID, body *HostCreate) (*fleet.Schedule, error) {
	switch {
	case body.RepositoryId == "" && len(body.Paths) == 0:
		return nil, nil
	case len(body.Paths) == 0: // a repository alone: its location is allowed on the host
		return nil, nil
	case body.RepositoryId == "":
		return nil, fleet.Errorf(fleet.InvalidField, "Say to which repository these paths are backed up.").At("/repository_id")
	}
	s := &fleet.Schedule{
		ID: fleet.NewID[fleet.ScheduleID](), HostID: host, RepositoryID: fleet.RepositoryID(body.RepositoryId),
		Name: initialSchedule, Paths: fleet.NewList(body.Paths), Manual: true, Enabled: true, Retention: "{}",
	}
	return s, s.Check()
}

// prefixesOr gives the locations that a host's line allows: those that were asked
// for, else that of the repository.
func prefixesOr(ctx context.Context, tx *store.Tx, prefixes []string, repository string) (fleet.List, error) {
	if repository == "" {
		return fleet.NewList(prefixes), nil
	}
	r, err := tx.Repository(ctx, fleet.RepositoryID(repository))
	if err != nil {
		return "", err
	}
	if len(prefixes) == 0 {
		prefixes = []string{r.Location}
	}
	return fleet.NewList(prefixes), nil
}

func (h *Handlers) created(ctx context.Context, id fleet.HostID, schedule *fleet.Schedule, token *fleet.EnrolmentToken, secret string) (CreateHostResponseObject, error) {
	host, err := h.store.Host(ctx, id)
	if err != nil {
		return nil, err
	}
	view, err := h.viewHost(ctx, host)
	if err != nil {
		return nil, err
	}
	answer := HostCreated{Host: view, Enrolment: h.enrolment(host, token, secret)}
	if schedule != nil {
		h.prepare(ctx, schedule.RepositoryID)
		made, err := h.viewSchedule(ctx, host, schedule.ID)
		if err != nil {
			return nil, err
		}
		answer.Schedule = &made
	}
	return CreateHost201JSONResponse(answer), nil
}

// ReadHost reads a host, and waits for another version of it where that is asked
// for.
func (h *Handlers) ReadHost(ctx context.Context, r ReadHostRequestObject) (ReadHostResponseObject, error) {
	id := fleet.HostID(r.HostId)
	var host *fleet.Host
	err := h.wait(ctx, r.Params.Wait, topicOf(fleet.TopicHosts, id), func() (done bool, err error) {
		if host, err = h.store.Host(ctx, id); err != nil {
			return false, err
		}
		return host.Version != r.Params.IfVersion, nil
	})
	if err != nil {
		return nil, err
	}
	view, err := h.viewHost(ctx, host)
	return ReadHost200JSONResponse(view), err
}

// UpdateHost renames, tags, disables or enables a host.
func (h *Handlers) UpdateHost(ctx context.Context, r UpdateHostRequestObject) (UpdateHostResponseObject, error) {
	var host *fleet.Host
	err := h.store.Update(ctx, auth.Audit(ctx, "host.update"), func(tx *store.Tx) (err error) {
		if host, err = tx.LockHost(ctx, fleet.HostID(r.HostId)); err != nil {
			return err
		}
		about(tx, store.ObjectHost, string(host.ID), host.Name)
		tx.Audit.Detail = changeHost(host, r.Body)
		return tx.UpdateHost(ctx, host)
	})
	if err != nil {
		return nil, err
	}
	view, err := h.viewHost(ctx, host)
	return UpdateHost200JSONResponse(view), err
}

// changeHost applies what was given and tells what it changed.
func changeHost(host *fleet.Host, body *HostUpdate) (detail string) {
	if body.Name != nil && *body.Name != host.Name {
		detail += fmt.Sprintf("name to %q; ", *body.Name)
		host.Name = *body.Name
	}
	if body.Tags != nil {
		detail += fmt.Sprintf("tags %q; ", *body.Tags)
		host.Tags = fleet.NewList(*body.Tags)
	}
	if body.Disabled != nil && *body.Disabled != host.Disabled {
		detail += fmt.Sprintf("disabled %t; ", *body.Disabled)
		host.Disabled = *body.Disabled
	}
	if body.Availability != nil && fleet.Availability(*body.Availability) != host.Availability {
		host.Availability = fleet.Availability(*body.Availability)
		detail += fmt.Sprintf("availability %s; ", host.Availability)
	}
	return detail
}

// DeleteHost deletes a host and its history, unless its agent works at a job.
func (h *Handlers) DeleteHost(ctx context.Context, r DeleteHostRequestObject) (DeleteHostResponseObject, error) {
	id := fleet.HostID(r.HostId)
	err := h.store.Update(ctx, auth.Audit(ctx, "host.delete"), func(tx *store.Tx) error {
		host, err := tx.LockHost(ctx, id)
		if err != nil {
			return err
		}
		about(tx, store.ObjectHost, string(id), host.Name)
		jobs, err := tx.ActiveJobs(ctx, id)
		if err != nil {
			return err
		}
		for i := range jobs {
			if jobs[i].OnAgent() && jobs[i].State != fleet.Unresponsive { //guard:host-busy
				return fleet.Errorf(fleet.HostBusy, "A job runs on this host: cancel it or wait for its end.")
			}
		}
		return tx.DeleteHost(ctx, id)
	})
	return DeleteHost204Response{}, err
}

// about names the object of an audit entry.
func about(tx *store.Tx, kind, id, name string) {
	tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName = kind, id, name
}

func (h *Handlers) viewHost(ctx context.Context, host *fleet.Host) (Host, error) {
	views, err := h.viewHosts(ctx, []fleet.Host{*host})
	if err != nil {
		return Host{}, err
	}
	return views[0], nil
}

// viewHosts adds what other tables know of hosts, with one read for each of those.
func (h *Handlers) viewHosts(ctx context.Context, hosts []fleet.Host) ([]Host, error) {
	ids, last := make([]string, len(hosts)), []fleet.JobID{}
	for i := range hosts {
		ids[i] = string(hosts[i].ID)
		if hosts[i].LastBackup != "" {
			last = append(last, hosts[i].LastBackup)
		}
	}
	conditions, err := h.conditionsOf(ctx, store.ObjectHost, ids)
	if err != nil {
		return nil, err
	}
	briefs, err := h.briefs(ctx, last)
	if err != nil {
		return nil, err
	}
	hostIDs := make([]fleet.HostID, len(hosts))
	for i := range hosts {
		hostIDs[i] = hosts[i].ID
	}
	sizes, err := h.store.HostSizes(ctx, hostIDs)
	if err != nil {
		return nil, err
	}
	views := make([]Host, len(hosts))
	for i := range hosts {
		if views[i], err = toHost(&hosts[i], hosts[i].Presence(h.store.Now())); err != nil {
			return nil, err
		}
		views[i].Conditions = orEmpty(conditions[ids[i]])
		views[i].LastBackup = briefs[hosts[i].LastBackup]
		if size, ok := sizes[hosts[i].ID]; ok {
			views[i].Size = &HostSize{SourceBytes: size.Source, Shared: size.Shared}
			if size.Measured {
				views[i].Size.StoredBytes = size.Stored
			}
		}
	}
	return views, nil
}

func toHost(host *fleet.Host, presence fleet.Presence) (Host, error) {
	view := Host{
		Id: string(host.ID), Name: host.Name, Tags: host.Tags.Items(), Profile: Profile(host.Profile), Presence: Presence(presence),
		Availability: Availability(host.Availability), Protection: toProtection(host), NextSlotAt: host.NextSlot.Time(),
		LastContactAt: host.LastContact.Time(), Hostname: host.SnapshotHost, Os: host.OS, Arch: host.Arch,
		AgentVersion: host.AgentVersion, ResticVersion: host.ResticVersion, Version: host.Version,
		CreatedAt: host.CreatedAt.Time(), EnrolledAt: host.EnrolledAt.Time(), ClockOffsetMs: host.ClockOffset,
		Config: ConfigState{
			WantedRevision: host.ConfigRevision, InForceRevision: host.ConfigInForce, Drift: host.Drift(), Error: host.ConfigError,
		},
		Counts: HostCounts{
			Schedules: host.Schedules, EnabledSchedules: host.EnabledSchedules, TimedSchedules: host.TimedSchedules,
			Snapshots: host.Snapshots, ActiveJobs: host.ActiveJobs,
		},
		LastGoodBackupAt: host.LastGoodBackup.Time(),
	}
	err := readDocs(doc{host.Policy, &view.Policy}, doc{host.Spool, &view.Spool}, doc{host.LastExchange, &view.LastExchange},
		doc{host.Offers, &view.Offers}, doc{host.Absences, &view.Absences})
	if err != nil {
		return Host{}, fmt.Errorf("read host %s: %w", host.ID, err)
	}
	slices.Reverse(view.Absences) // the newest first
	view.Absences = orEmpty(view.Absences)
	view.Offers.Hooks, view.Offers.Sources = orEmpty(view.Offers.Hooks), orEmpty(view.Offers.Sources)
	return view, nil
}

// toProtection is how a host stands, as it was judged last.
func toProtection(host *fleet.Host) Protection {
	return Protection{
		State: ProtectionState(host.Protection), Reason: host.ProtectionReason, Since: host.ProtectionSince.Time(),
		BreachAt: host.BreachAt.Time(), ScheduleId: string(host.ProtectionSchedule),
	}
}

// conditionsOf finds what holds for objects of a kind, by their ids.
func (h *Handlers) conditionsOf(ctx context.Context, kind string, ids []string) (map[string][]Condition, error) {
	list, err := h.store.Conditions(ctx, kind, ids...)
	if err != nil {
		return nil, err
	}
	byID := map[string][]Condition{}
	for _, c := range list {
		byID[c.ObjectID] = append(byID[c.ObjectID], Condition{
			Code: c.Code, Severity: Severity(c.Severity), Message: c.Message, NextStep: c.NextStep,
			Since: c.Since.Time(), JobId: string(c.JobID),
		})
	}
	return byID, nil
}

// briefs reads jobs in one line each; one that was deleted is left out.
func (h *Handlers) briefs(ctx context.Context, ids []fleet.JobID) (map[fleet.JobID]*JobBrief, error) {
	byID := map[fleet.JobID]*JobBrief{}
	if len(ids) == 0 {
		return byID, nil
	}
	jobs, err := h.store.JobsNamed(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range jobs {
		if byID[jobs[i].ID], err = toBrief(&jobs[i]); err != nil {
			return nil, err
		}
	}
	return byID, nil
}

// orEmpty makes an absent list one that encodes as [].
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
