package alert

import (
	"context"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Acknowledge notes that somebody looks after an alert: there are no reminders from
// then on. AlertIsResolved when it is over.
func (s *Service) Acknowledge(ctx context.Context, tx *store.Tx, id fleet.AlertID, by, note string) (*fleet.Alert, error) {
	return edit(ctx, tx, id, note, func(a *fleet.Alert) {
		if a.AckedAt.IsZero() || a.State != fleet.AlertAcknowledged {
			a.AckedAt, a.AckedBy = tx.Now, by
		}
		a.State, a.SilencedTo = fleet.AlertAcknowledged, 0
	})
}

// Silence keeps an alert from being told until a time; one that has passed ends the
// silence. AlertIsResolved when it is over.
func (s *Service) Silence(ctx context.Context, tx *store.Tx, id fleet.AlertID, until fleet.Time, note string) (*fleet.Alert, error) {
	return edit(ctx, tx, id, note, func(a *fleet.Alert) {
		switch {
		case until > tx.Now:
			a.State, a.SilencedTo = fleet.AlertSilenced, until
		case a.State == fleet.AlertSilenced:
			a.State, a.SilencedTo, a.RemindedAt = fleet.AlertRaised, 0, tx.Now
		}
	})
}

// Resolve closes an alert by hand: the same fact does not raise it again.
// AlertIsResolved when it is over already.
func (s *Service) Resolve(ctx context.Context, tx *store.Tx, id fleet.AlertID, by, note string) (*fleet.Alert, error) {
	a, err := edit(ctx, tx, id, note, func(a *fleet.Alert) {
		a.State, a.Rank, a.ResolvedAt, a.ResolvedBy = fleet.AlertResolved, 0, tx.Now, by
	})
	if err != nil {
		return nil, err
	}
	c := &change{tx: tx, tells: s.Tells}
	return a, c.tell(ctx, a, fleet.DeliverResolved)
}

func edit(ctx context.Context, tx *store.Tx, id fleet.AlertID, note string, how func(*fleet.Alert)) (*fleet.Alert, error) {
	a, err := tx.LockAlert(ctx, id)
	if err != nil {
		return nil, err
	}
	if !a.Open() {
		return nil, fleet.Errorf(fleet.AlertIsResolved, "This alert is over; there is nothing left to do about it.")
	}
	before := *a
	how(a)
	if note != "" {
		a.Note = note
	}
	if *a == before {
		return a, nil
	}
	return a, tx.SaveAlert(ctx, a)
}
