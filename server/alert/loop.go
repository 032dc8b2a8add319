package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Service keeps the alerts as the facts want them. Its methods may be called by
// several goroutines and replicas.
type Service struct {
	Store         *store.Store
	Log           *slog.Logger
	ServerVersion string
	Tells         func(kind string) bool // whether channels of a kind are told of alerts; nil: all
	Every         time.Duration          // between evaluations; 0: 15 s
	AuditEvery    time.Duration          // between looks at the whole audit log; 0: an hour
	Promised      func()                 // called after something was promised to channels; may be nil
}

const (
	defaultEvery      = 15 * time.Second
	defaultAuditEvery = time.Hour
	forgetEvery       = 10 * time.Minute
	seenEvery         = time.Minute // how exact LastSeenAt is
	graceAfterOutage  = 5 * time.Minute
)

func (s *Service) every() time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	return defaultEvery
}

// Run evaluates until ctx ends. What fails is logged and tried again in the next
// round.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.every())
	defer ticker.Stop()
	var forgot time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := s.Round(ctx)
		if now := time.Now(); now.Sub(forgot) >= forgetEvery {
			forgot = now
			err = errors.Join(err, s.Store.Write(ctx, func(tx *store.Tx) error { return tx.ForgetAlerts(ctx) }))
		}
		if err != nil && ctx.Err() == nil {
			s.Log.LogAttrs(ctx, slog.LevelError, "loop failed", slog.String("op", "evaluate alerts"), slog.Any("err", err))
		}
	}
}

// Round evaluates once, unless another replica just did, or all of us were away and
// agents had no time yet to come back.
func (s *Service) Round(ctx context.Context) error {
	now := s.Store.Now()
	round, due, err := s.due(ctx, now)
	if err != nil || !due {
		return err
	}
	in, rules, err := s.input(ctx, now)
	if err != nil {
		return err
	}
	wanted, marks := Evaluate(in)
	promised := false
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		if ours, err := tx.TakeAlertRound(ctx, round); err != nil || !ours {
			return err
		}
		c := &change{tx: tx, remind: time.Duration(rules.RemindAfter) * time.Second, tells: s.Tells}
		if err := c.apply(ctx, wanted); err != nil {
			return err
		}
		for name, mark := range marks {
			if err := tx.SetAlertMark(ctx, name, mark); err != nil {
				return err
			}
		}
		promised = c.promised > 0
		return nil
	})
	if fleet.Is(err, fleet.VersionConflict) {
		return nil // somebody looks after an alert right now: the next round has the rest
	}
	if err != nil {
		return fmt.Errorf("bring the alerts up to date: %w", err)
	}
	if promised && s.Promised != nil {
		s.Promised()
	}
	return nil
}

// due tells whether it is time for a round, and the number of the last one.
func (s *Service) due(ctx context.Context, now time.Time) (round int64, due bool, err error) {
	if now.Before(s.Store.QuietUntil()) { //guard:alert-quiet
		return 0, false, nil
	}
	// A replica that began later than another was itself never away.
	outages, err := s.Store.Outages(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("read our outages: %w", err)
	}
	if n := len(outages); n > 0 && fleet.At(now) < outages[n-1].Until.Add(graceAfterOutage) { //guard:alert-outage
		return 0, false, nil
	}
	round, at, err := s.Store.AlertRound(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("read the round of alerts: %w", err)
	}
	if round > 0 && now.Before(at.Time().Add(s.every()*3/4)) { //guard:alert-round
		return 0, false, nil
	}
	return round, true, nil
}

// input reads what alerts follow from, of one moment.
func (s *Service) input(ctx context.Context, now time.Time) (in Input, rules *fleet.AlertRules, err error) {
	in.ServerVersion = s.ServerVersion
	if in.AuditProblem, err = s.auditProblem(ctx, fleet.At(now)); err != nil {
		return in, nil, err
	}
	err = s.Store.View(ctx, func(q store.Queries) (err error) {
		if rules, err = q.AlertRules(ctx); err == nil {
			in.AlertFacts, err = q.AlertFacts(ctx)
		}
		return err
	})
	if err == nil {
		in.Rules = rules.Rules
	}
	return in, rules, err
}

// auditState is what the last look at the audit log found, kept for all replicas.
type auditState struct {
	At      fleet.Time `json:"at"`
	Problem string     `json:"problem"`
}

const metaAudit = "alert_audit"

// auditProblem says what is wrong with the audit log, looking at it anew when the last
// look is too old.
func (s *Service) auditProblem(ctx context.Context, now fleet.Time) (string, error) {
	every := s.AuditEvery
	if every <= 0 {
		every = defaultAuditEvery
	}
	var state auditState
	text, err := s.Store.Meta(ctx, metaAudit)
	if err == nil {
		err = fleet.Doc(text).Read(&state)
	}
	if err != nil && !fleet.Is(err, fleet.NotFound) {
		return "", fmt.Errorf("read what is known of the audit log: %w", err)
	}
	if !state.At.IsZero() && now < state.At.Add(every) {
		return state.Problem, nil
	}
	// Of one moment: entries are added meanwhile.
	err = s.Store.View(ctx, func(q store.Queries) error {
		_, err := q.VerifyAudit(ctx)
		return err
	})
	state = auditState{At: now}
	var altered *fleet.Error
	switch {
	case errors.As(err, &altered) && altered.Code == fleet.Internal && altered.Err == nil:
		state.Problem = altered.Message
	case err != nil:
		return "", fmt.Errorf("verify the audit log: %w", err)
	}
	doc, err := fleet.NewDoc(state)
	if err != nil {
		return "", err
	}
	err = s.Store.Write(ctx, func(tx *store.Tx) error { return tx.SetMeta(ctx, metaAudit, string(doc)) })
	return state.Problem, err
}
