package notify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// promiseDue promises the reports and pings whose time has come. A replica takes one
// by compare-and-swap.
func (s *Service) promiseDue(ctx context.Context) error {
	channels, err := s.Store.Channels(ctx)
	if err != nil {
		return err
	}
	now := fleet.At(s.Store.Now())
	for i := range channels {
		c := &channels[i]
		if !c.Enabled {
			continue
		}
		if !c.NextPing.IsZero() && c.NextPing <= now {
			if err := s.promisePing(ctx, c); err != nil {
				return fmt.Errorf("ping through channel %s: %w", c.ID, err)
			}
		}
		if !c.NextReport.IsZero() && c.NextReport <= now {
			if err := s.promiseReport(ctx, c); err != nil {
				return fmt.Errorf("report through channel %s: %w", c.ID, err)
			}
		}
	}
	return nil
}

func (s *Service) promisePing(ctx context.Context, c *fleet.Channel) error {
	if s.Store.Now().Before(s.Store.QuietUntil()) {
		return nil // agents had no time yet to come back: nobody knows
	}
	config := Config{values: map[string]string{}}
	config.kind, _ = KindOf(c.Kind)
	if config.kind == nil || c.Settings.Read(&config.values) != nil {
		return nil
	}
	p, err := s.state(ctx)
	if err != nil {
		return err
	}
	subject := "All is well"
	if p.Trouble {
		subject = "Not all is well"
	}
	every := time.Duration(config.Int("interval_minutes")) * time.Minute
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		ours, err := tx.TakePing(ctx, c.ID, c.NextPing, tx.Now.Add(every))
		if err != nil || !ours {
			return err
		}
		if err := tx.DropPings(ctx, c.ID); err != nil { // the new one says what is so now
			return err
		}
		return promise(ctx, tx, c.ID, fleet.DeliverPing, subject, p)
	})
}

// state is what a ping says.
func (s *Service) state(ctx context.Context) (fleet.Parcel, error) {
	sums, err := s.Store.FleetSums(ctx)
	if err != nil {
		return fleet.Parcel{}, err
	}
	var wrong []string
	for _, w := range []struct {
		n    int
		text string
	}{
		{sums.Protection[fleet.Unprotected], "hosts unprotected"},
		{sums.Protection[fleet.AtRisk], "hosts at risk"},
		{sums.Protection[fleet.NeverBacked], "hosts without a backup"},
		{sums.Alerts[fleet.Critical], "critical alerts"},
	} {
		if w.n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", w.n, w.text))
		}
	}
	if len(wrong) == 0 {
		return fleet.Parcel{Text: fmt.Sprintf("%d hosts protected", sums.Protection[fleet.Protected])}, nil
	}
	return fleet.Parcel{Text: strings.Join(wrong, ", "), Trouble: true}, nil
}

func (s *Service) promiseReport(ctx context.Context, c *fleet.Channel) error {
	var route fleet.ChannelRoute
	if err := c.Route.Read(&route); err != nil {
		return err
	}
	now := s.Store.Now()
	weekly := route.Report == "weekly"
	next := fleet.At(route.NextAt(now, weekly))
	if now.Before(s.Store.QuietUntil()) {
		return nil // later: agents had no time yet to come back
	}
	span := 24 * time.Hour
	if weekly {
		span *= 7
	}
	subject, p, err := s.report(ctx, fleet.At(now.Add(-span)), &route)
	if err != nil {
		return err
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		ours, err := tx.TakeReport(ctx, c.ID, c.NextReport, next)
		if err != nil || !ours {
			return err
		}
		return promise(ctx, tx, c.ID, fleet.DeliverReport, subject, p)
	})
}

func promise(ctx context.Context, tx *store.Tx, id fleet.ChannelID, kind fleet.DeliveryKind, subject string, p fleet.Parcel) error {
	body, err := fleet.NewDoc(p)
	if err != nil {
		return err
	}
	return tx.AddDelivery(ctx, &fleet.Delivery{
		ID: fleet.NewID[fleet.DeliveryID](), ChannelID: id, Kind: kind, State: fleet.DeliveryPending, Subject: subject, Body: body, NextAt: tx.Now,
	})
}
