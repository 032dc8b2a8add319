package job

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// CodeMaintenanceNotAllowed is the condition of a repository whose maintenance host
// would refuse to maintain it.
const CodeMaintenanceNotAllowed = "maintenance_not_allowed"

// HostFor finds the host at which an operation with these params starts on a repository:
// its maintenance host for what runs only there; else the maintenance host if it is online, or any online
// host that backs up there. It fails with UnknownOperation, NoMaintenanceHost and
// NoHostOnline.
func (s *Service) HostFor(ctx context.Context, r *fleet.Repository, operation string, params json.RawMessage) (*fleet.Host, error) {
	op, known := restic.OperationNamed(operation)
	if !known {
		return nil, fleet.Errorf(fleet.UnknownOperation, "There is no such operation; the list of operations names them all.").At("/operation")
	}
	given, err := members(params)
	if err != nil {
		return nil, err
	}
	op = op.With(given)
	if takes(op, fieldSchedule) {
		return nil, fleet.Errorf(fleet.InvalidField, "This operation is started at a host.").At("/operation")
	}
	now := s.Store.Now()
	if r.MaintenanceHost != "" {
		host, err := s.Store.Host(ctx, r.MaintenanceHost)
		if err != nil && !fleet.Is(err, fleet.NotFound) {
			return nil, err
		}
		if err == nil && op.At(restic.PlaceMaintenanceHost) && (!op.At(restic.PlaceHost) || host.Presence(now) == fleet.Online) {
			return host, nil
		}
	}
	if !op.At(restic.PlaceHost) {
		return nil, noMaintenanceHost(r)
	}
	hosts, err := s.Store.HostsOfRepository(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	for i := range hosts {
		if hosts[i].Presence(now) == fleet.Online {
			return &hosts[i], nil
		}
	}
	return nil, fleet.Errorf(fleet.NoHostOnline, "No host that uses %s is online; wait for one.", r.Name)
}

// JudgeMaintenance looks whether the host that maintains a repository is allowed to, by
// its own policy file. Call it in the transaction that changes either.
func JudgeMaintenance(ctx context.Context, tx *store.Tx, id fleet.RepositoryID) error {
	r, err := tx.Repository(ctx, id)
	if err != nil {
		return err
	}
	var host *fleet.Host
	allowed := fleet.AllowedUnknown
	if r.MaintenanceHost != "" {
		if host, err = tx.Host(ctx, r.MaintenanceHost); err != nil && !fleet.Is(err, fleet.NotFound) {
			return err
		}
	}
	var next string
	if host != nil {
		credential, err := tx.MaintenanceCredential(ctx, id)
		if err != nil && !fleet.Is(err, fleet.NotFound) {
			return err
		}
		allowed, _ = host.Maintains(r.MaintainedAt(credential))
		next = AllowMaintenance(r.MaintainedAt(credential))
	}
	c := fleet.Condition{
		ObjectType: store.ObjectRepository, ObjectID: string(id), Code: CodeMaintenanceNotAllowed, Severity: fleet.Warn, NextStep: next,
	}
	if host != nil {
		c.Message = fmt.Sprintf("%s is to maintain it, and its own policy file does not say so.", host.Name)
	}
	return hold(ctx, tx, allowed == fleet.AllowedNo, c)
}

// AllowMaintenance is what to do at a host that is to maintain a repository there.
func AllowMaintenance(location string) string {
	return "Run as root on that host: restic-manager-agent policy allow maintenance --under " + quoted(location)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// judgeMaintained is JudgeMaintenance for all that a host maintains.
func judgeMaintained(ctx context.Context, tx *store.Tx, host fleet.HostID) error {
	list, err := tx.RepositoriesMaintained(ctx, host)
	if err != nil {
		return err
	}
	for i := range list {
		if err := JudgeMaintenance(ctx, tx, list[i].ID); err != nil {
			return err
		}
	}
	return nil
}
