package job

import (
	"context"
	"slices"
	"strings"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// reader finds a host that can read a snapshot: the one that made it, another one that
// backs up there, the one that maintains the repository, or, for who may order operations,
// any whose own policy lets it go there; the first that is online. Such a host is handed
// the repository's password for the job, which nobody may cause who only looks.
func (s *Service) reader(ctx context.Context, actor Actor, id fleet.RepositoryID, snapshot *fleet.Snapshot) (fleet.HostID, error) {
	r, err := s.Store.Repository(ctx, id)
	if err != nil {
		return "", err
	}
	hosts, err := s.Store.HostsOfRepository(ctx, id)
	if err != nil {
		return "", err
	}
	var maintains []fleet.HostID
	if r.MaintenanceHost != "" {
		maintains = append(maintains, r.MaintenanceHost)
	}
	named, err := s.Store.HostsNamed(ctx, maintains)
	if err != nil {
		return "", err
	}
	var candidates []*fleet.Host
	add := func(h *fleet.Host) {
		if h != nil {
			candidates = append(candidates, h)
		}
	}
	// The host that made it comes first, as long as it still backs up there.
	for i := range hosts {
		if hosts[i].ID == snapshot.HostID {
			add(&hosts[i])
		}
	}
	for i := range hosts {
		if hosts[i].ID != snapshot.HostID {
			add(&hosts[i])
		}
	}
	add(named[r.MaintenanceHost])
	for _, h := range candidates {
		if h.Presence(s.Store.Now()) == fleet.Online {
			return h.ID, nil
		}
	}
	if !actor.Operates { //guard:index-elsewhere
		return "", noReader(r, candidates)
	}
	return s.readerElsewhere(ctx, r, candidates)
}

// readerElsewhere looks for a host that has nothing to do with a repository and may go
// there by its own policy. Where none is online, the error names who could.
func (s *Service) readerElsewhere(ctx context.Context, r *fleet.Repository, absent []*fleet.Host) (fleet.HostID, error) {
	credentials, err := s.Store.Credentials(ctx, r.ID)
	if err != nil {
		return "", err
	}
	locations := []string{r.Location}
	for _, c := range credentials {
		if c.Slot == fleet.AppendSlot && c.Location != "" {
			locations = append(locations, c.Location)
		}
	}
	for page := (store.Page{Size: store.MaxPageSize}); ; {
		hosts, next, err := s.Store.Hosts(ctx, store.HostFilter{}, page)
		if err != nil {
			return "", err
		}
		for i := range hosts {
			h := &hosts[i]
			if h.Presence(s.Store.Now()) == fleet.Online && allowsAll(h, locations) {
				return h.ID, nil
			}
		}
		if page.Token = next; next == "" {
			break
		}
	}
	return "", noReader(r, absent)
}

// noReader names who could read a repository and is away.
func noReader(r *fleet.Repository, absent []*fleet.Host) error {
	var names []string
	for _, h := range absent {
		if name := h.Name; len(names) < 5 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return fleet.Errorf(fleet.NoHostOnline,
			"No host that may read %s is online. Let a host's policy file allow its location, or give one a schedule there.", r.Name)
	}
	return fleet.Errorf(fleet.NoHostOnline, "No host that can read %s is online; start one of them: %s.", r.Name, strings.Join(names, ", "))
}

// allowsAll tells whether a host's policy, as its agent reports it, lets it go to all
// locations. It may be wrong; the agent decides, and then says so.
func allowsAll(h *fleet.Host, locations []string) bool {
	var report PolicyReport
	if h.Policy.Read(&report) != nil || report.State != PolicyOK {
		return false
	}
	var prefixes []restic.Location
	anywhere := false
	for _, rule := range report.Rules {
		switch {
		case rule.Name != "Repositories":
		case rule.Value == "any location":
			anywhere = true
		default:
			for _, text := range strings.Split(rule.Value, ", ") {
				if l, err := restic.ParseLocation(text); err == nil {
					prefixes = append(prefixes, l)
				}
			}
		}
	}
	for _, text := range locations {
		l, err := restic.ParseLocation(text)
		if err != nil || strings.HasPrefix(text, "/") {
			return false // a folder of another machine
		}
		allowed := anywhere
		for _, p := range prefixes {
			allowed = allowed || l.Under(p)
		}
		if !allowed {
			return false
		}
	}
	return true
}
