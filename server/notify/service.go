package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/secret"
	"restic-manager/server/store"
)

// Seals seals and opens the secrets of channels; *secret.Keys is one.
type Seals interface {
	Seal(b secret.Binding, plain []byte) (string, error)
	Open(b secret.Binding, sealed string) ([]byte, error)
}

// Service sends what was promised. Its methods may be called by several goroutines
// and replicas.
type Service struct {
	Store     *store.Store
	Seals     Seals
	Out       *Egress
	Log       *slog.Logger
	PublicURL string

	once  sync.Once
	wake  chan struct{}
	mu    sync.Mutex
	busy  map[fleet.ChannelID]bool
	sends sync.WaitGroup
}

const (
	lookEvery  = 2 * time.Second
	leaseFor   = time.Minute // longer than an attempt can take
	giveUpAge  = 24 * time.Hour
	gatherFrom = 4   // so many messages at once become one
	gatherMost = 500 // in one message
	maxBackoff = time.Hour
)

// backoff is how long to wait after the n-th failure in a row.
func backoff(n int) time.Duration {
	d := 10 * time.Second
	for range min(n, 20) - 1 {
		if d *= 3; d >= maxBackoff {
			return maxBackoff
		}
	}
	return d
}

func (s *Service) init() {
	s.once.Do(func() { s.wake, s.busy = make(chan struct{}, 1), map[fleet.ChannelID]bool{} })
}

// Wake says that something was promised.
func (s *Service) Wake() {
	s.init()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sends what is due until ctx ends, and returns when the attempts that had begun
// are over. A channel that is slow keeps no other waiting.
func (s *Service) Run(ctx context.Context) error {
	s.init()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	defer s.sends.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-s.wake:
		}
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.Log.LogAttrs(ctx, slog.LevelError, "loop failed", slog.String("op", "send notifications"), slog.Any("err", err))
		}
	}
}

// look promises what is due by the clock and begins to send what may be sent.
func (s *Service) look(ctx context.Context) error {
	if err := s.promiseDue(ctx); err != nil {
		return err
	}
	due, err := s.Store.ChannelsDue(ctx, fleet.At(s.Store.Now()))
	if err != nil {
		return fmt.Errorf("look for channels with something to send: %w", err)
	}
	for _, id := range due {
		if !s.take(id) {
			continue
		}
		s.sends.Go(func() {
			defer s.give(id)
			if err := s.send(ctx, id); err != nil && ctx.Err() == nil {
				s.Log.LogAttrs(ctx, slog.LevelError, "deliveries not sent", slog.String("channel", string(id)), slog.Any("err", err))
			}
		})
	}
	return nil
}

func (s *Service) take(id fleet.ChannelID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return false
	}
	s.busy[id] = true
	return true
}

func (s *Service) give(id fleet.ChannelID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, id)
}

// Flush sends everything that is due now, one channel after the other.
func (s *Service) Flush(ctx context.Context) error {
	s.init()
	if err := s.promiseDue(ctx); err != nil {
		return err
	}
	due, err := s.Store.ChannelsDue(ctx, fleet.At(s.Store.Now()))
	for _, id := range due {
		err = errors.Join(err, s.send(ctx, id))
	}
	return err
}

// send sends what a channel has to say, until there is nothing left or it fails.
func (s *Service) send(ctx context.Context, id fleet.ChannelID) error {
	for ctx.Err() == nil {
		var channel *fleet.Channel
		var d *fleet.Delivery
		err := s.Store.Write(ctx, func(tx *store.Tx) (err error) {
			channel, d, err = claim(ctx, tx, id)
			return err
		})
		if err != nil {
			return fmt.Errorf("claim a delivery: %w", err)
		}
		if d == nil {
			return nil
		}
		failure := s.attempt(ctx, channel, d)
		stopped := failure.err != nil && ctx.Err() != nil // that is no fault of the channel's
		after := context.WithoutCancel(ctx)               // what was sent is written down also when we stop
		err = s.Store.Write(after, func(tx *store.Tx) error {
			if stopped {
				return release(after, tx, d.ID)
			}
			return settle(after, tx, channel.ID, d.ID, failure)
		})
		if err != nil || failure.err != nil {
			return err
		}
	}
	return nil
}

// claim takes the next delivery of a channel for one attempt; nil when there is none.
// Several that came at once, or were held back, become one.
func claim(ctx context.Context, tx *store.Tx, id fleet.ChannelID) (*fleet.Channel, *fleet.Delivery, error) {
	channel, err := tx.LockChannel(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return nil, nil, nil
	}
	if err != nil || channel.RetryAt > tx.Now {
		return nil, nil, err
	}
	due, err := tx.DueDeliveries(ctx, id, gatherMost)
	if err != nil || len(due) == 0 {
		return nil, nil, err
	}
	if !channel.Enabled {
		return nil, nil, refuse(ctx, tx, due)
	}
	next := &due[0]
	if gathered, rest := gather(due); gathered != nil {
		if err := tx.DropDeliveries(ctx, rest); err != nil {
			return nil, nil, err
		}
		if err := tx.AddDelivery(ctx, gathered); err != nil {
			return nil, nil, err
		}
		next = gathered
	}
	next.Attempts++
	next.LeaseTo = tx.Now.Add(leaseFor) //guard:notify-lease
	return channel, next, tx.SaveDelivery(ctx, next)
}

// refuse ends what a channel that was disabled meanwhile had to send.
func refuse(ctx context.Context, tx *store.Tx, due []fleet.Delivery) error {
	for i := range due {
		due[i].State, due[i].Error = fleet.DeliveryFailed, "The channel is disabled."
		if err := tx.SaveDelivery(ctx, &due[i]); err != nil {
			return err
		}
	}
	return nil
}

// outcome is how an attempt ended; its text is fit to be shown.
type outcome struct {
	err  error
	text string
}

// attempt sends a delivery once.
func (s *Service) attempt(ctx context.Context, channel *fleet.Channel, d *fleet.Delivery) outcome {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	config, err := s.open(channel)
	if err != nil {
		return outcome{err, "The channel's secrets cannot be opened; enter them again."}
	}
	m, err := s.message(d)
	if err == nil {
		err = config.kind.New(config, s.Out).Send(ctx, m)
	}
	if err != nil {
		return outcome{err, explain(err, config)}
	}
	return outcome{}
}

// message makes what a kind sends of what was kept.
func (s *Service) message(d *fleet.Delivery) (*Message, error) {
	var p fleet.Parcel
	if err := d.Body.Read(&p); err != nil {
		return nil, fmt.Errorf("read delivery %s: %w", d.ID, err)
	}
	m := &Message{
		ID: string(d.ID), Kind: d.Kind, Severity: fleet.Info, Subject: d.Subject, Text: p.Text, HTML: p.HTML,
		Notices: p.Notices, Trouble: p.Trouble, At: d.CreatedAt.Time(),
	}
	if s.PublicURL != "" {
		m.Link = s.PublicURL + "/alerts"
	}
	for _, n := range p.Notices {
		if n.Severity.Order() > m.Severity.Order() {
			m.Severity = n.Severity
		}
	}
	if len(p.Notices) == 1 {
		m.Text = p.Notices[0].Text()
		if s.PublicURL != "" {
			m.Link = s.PublicURL + "/alerts/" + string(p.Notices[0].Alert)
		}
	}
	return m, nil
}

// release lets the next one who looks send what we could not send before we stopped.
func release(ctx context.Context, tx *store.Tx, id fleet.DeliveryID) error {
	d, err := tx.Delivery(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	d.LeaseTo = 0
	return tx.SaveDelivery(ctx, d)
}

// settle writes down what came of an attempt.
func settle(ctx context.Context, tx *store.Tx, channelID fleet.ChannelID, id fleet.DeliveryID, o outcome) error {
	channel, err := tx.LockChannel(ctx, channelID)
	if fleet.Is(err, fleet.NotFound) {
		return nil // deleted meanwhile, with its deliveries
	}
	if err != nil {
		return err
	}
	d, err := tx.Delivery(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	d.LeaseTo, d.Error = 0, o.text
	if o.err == nil {
		d.State, d.SentAt = fleet.DeliverySent, tx.Now
		if err := tx.NoteChannel(ctx, channel.ID, 0, 0, 0); err != nil {
			return err
		}
		return tx.SaveDelivery(ctx, d)
	}
	since, failures := channel.FailingSince, channel.Failures+1
	if since.IsZero() {
		since = tx.Now
	}
	retry := tx.Now.Add(backoff(failures))
	d.NextAt = retry
	// One that was held back long is not old when it is sent for the first time.
	if errors.Is(o.err, ErrGone) || retry > max(d.CreatedAt, since).Add(giveUpAge) {
		d.State = fleet.DeliveryFailed
	}
	if err := tx.NoteChannel(ctx, channel.ID, since, retry, failures); err != nil {
		return err
	}
	return tx.SaveDelivery(ctx, d)
}
