package job

import (
	"context"
	"log/slog"
	"time"

	"restic-manager/server/store"
)

const (
	expireEvery = 5 * time.Second
	tidyEvery   = 10 * time.Minute
	artifactAge = 24 * time.Hour
)

// Run expires jobs that nobody picked up, notices agents that fell silent, and
// queues the init of repositories that wait for it, until ctx ends. Any number of
// replicas may run it. What fails is logged and tried again in the next round.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(expireEvery)
	defer ticker.Stop()
	var prepared, tidied, planned time.Time
	for {
		now := time.Now()
		s.round(ctx, "expire jobs", s.Expire)
		s.round(ctx, "look for silent jobs", s.Sweep)
		s.round(ctx, "take turns", s.TakeTurns)
		s.round(ctx, "check slots", s.CheckSlots)
		s.round(ctx, "judge hosts", s.Judge)
		if now.Sub(prepared) >= prepareEvery {
			prepared = now
			s.round(ctx, "prepare repositories", s.prepareAll)
		}
		if now.Sub(planned) >= planEvery {
			planned = now
			s.round(ctx, "maintain repositories", s.Maintain)
			s.round(ctx, "look after locks", s.SweepLocks)
		}
		if now.Sub(tidied) >= tidyEvery {
			tidied = now
			s.round(ctx, "tidy up", s.tidy)
			s.round(ctx, "review plans", s.ReviewPlans)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (s *Service) round(ctx context.Context, what string, f func(context.Context) error) {
	if err := f(ctx); err != nil && ctx.Err() == nil {
		s.Logger.LogAttrs(ctx, slog.LevelError, "loop failed", slog.String("op", what), slog.Any("err", err))
	}
}

// tidy removes what nobody will ask for again.
func (s *Service) tidy(ctx context.Context) error {
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.DropInterest(ctx, tx.Now); err != nil {
			return err
		}
		return tx.DropOldArtifacts(ctx, tx.Now.Add(-artifactAge))
	})
}
