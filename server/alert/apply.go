package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// change is one transaction that brings alerts up to date.
type change struct {
	tx     *store.Tx
	remind time.Duration
	tells  func(kind string) bool

	channels []fleet.Channel // read when first needed
	read     bool
	promised int
	raised   map[string][]fleet.Time // lately, by key and by subject; nil: not read yet
}

// What comes and goes is told a few times and then stays open until it was away for
// steadyFor: an agent could have a thing come and go each minute, and so can a bad line.
const (
	steadyFor    = time.Hour
	raisedOften  = 3 // times of one key in that time
	troubledHost = 6 // times of one host or repository
	flapsMost    = 7 * 24 * time.Hour
)

// apply compares the alerts that are wanted with those that are open.
func (c *change) apply(ctx context.Context, wanted []Wanted) error {
	list, err := c.tx.OpenAlertRows(ctx)
	if err != nil {
		return err
	}
	open := make(map[string]*fleet.Alert, len(list))
	for i := range list {
		open[list[i].Key] = &list[i]
	}
	if err := c.raiseNew(ctx, wanted, open); err != nil {
		return err
	}
	var seen []fleet.AlertID
	for i := range wanted {
		a := open[wanted[i].Key]
		if a == nil {
			continue
		}
		delete(open, a.Key)
		changed, err := c.update(ctx, a, &wanted[i])
		if err != nil {
			return err
		}
		if !changed && a.LastSeenAt.Add(seenEvery) <= c.tx.Now {
			seen = append(seen, a.ID)
		}
	}
	if err := c.tx.SeeAlerts(ctx, seen); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(open)) {
		if err := c.gone(ctx, open[key]); err != nil {
			return err
		}
	}
	return nil
}

// raiseNew raises what is wanted for the second time and notes what is wanted for the
// first.
func (c *change) raiseNew(ctx context.Context, wanted []Wanted, open map[string]*fleet.Alert) error {
	candidates, err := c.tx.AlertCandidates(ctx)
	if err != nil {
		return err
	}
	var fresh []*Wanted
	var keys []string
	for i := range wanted {
		if open[wanted[i].Key] == nil {
			fresh, keys = append(fresh, &wanted[i]), append(keys, wanted[i].Key)
		}
	}
	closed, err := c.tx.ClosedByHand(ctx, keys)
	if err != nil {
		return err
	}
	var first []string
	for _, w := range fresh {
		if fact, by := closed[w.Key]; by && fact == w.Fact {
			continue
		}
		since, known := candidates[w.Key]
		switch {
		case !known: //guard:alert-twice
			first = append(first, w.Key)
		case c.tx.Now < since.Add(w.Delay):
			delete(candidates, w.Key) // it goes on waiting
		default:
			if err := c.raise(ctx, w); err != nil {
				return err
			}
		}
	}
	if err := c.tx.AddAlertCandidates(ctx, first); err != nil {
		return err
	}
	return c.tx.DropAlertCandidates(ctx, slices.Sorted(maps.Keys(candidates))) // raised, or no longer wanted
}

func (c *change) raise(ctx context.Context, w *Wanted) error {
	a := &fleet.Alert{
		ID: fleet.NewID[fleet.AlertID](), Key: w.Key, Code: w.Code, SubjectType: w.SubjectType, SubjectID: w.SubjectID,
		State: fleet.AlertRaised, RaisedAt: c.tx.Now,
	}
	if err := fill(a, w); err != nil {
		return err
	}
	a.LastSeenAt = c.tx.Now
	created, err := c.tx.CreateAlert(ctx, a, hostsOf(w))
	if err != nil || !created {
		return err
	}
	return c.tell(ctx, a, fleet.DeliverRaised)
}

// fill writes what is shown of an alert.
func fill(a *fleet.Alert, w *Wanted) error {
	a.Severity, a.Rank = w.Severity, w.Severity.Order()
	a.Title, a.Message, a.NextStep, a.Fact = w.Title, w.Message, w.NextStep, w.Fact
	shown := w.Objects[:min(len(w.Objects), fleet.MaxAlertObjects)]
	objects, err := fleet.NewDoc(shown)
	if err != nil {
		return fmt.Errorf("encode the objects of an alert: %w", err)
	}
	a.Objects, a.ObjectsTotal, a.Content = objects, len(w.Objects), content(w)
	return nil
}

// content is a hash of everything that is shown.
func content(w *Wanted) string {
	text, err := json.Marshal([]any{w.Severity, w.Title, w.Message, w.NextStep, w.Fact, w.Objects})
	if err != nil { // strings and numbers always encode
		panic(err)
	}
	return fingerprint([]string{string(text)})
}

func hostsOf(w *Wanted) []fleet.HostID {
	seen := map[fleet.HostID]bool{}
	for _, o := range w.Objects {
		if o.Host != "" {
			seen[o.Host] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// update brings an open alert up to date and tells whether it changed. Who was told
// before is told again when it became worse, when a silence ended, and as a reminder.
func (c *change) update(ctx context.Context, a *fleet.Alert, w *Wanted) (bool, error) {
	before := *a
	// Pages show it, so that its end is a change that they are told of.
	a.GoneSince = 0
	if w.Severity.Order() < a.Severity.Order() && c.tx.Now < max(a.RaisedAt, a.RemindedAt).Add(steadyFor) { //guard:alert-severity
		worse := *w // than it is by now: what becomes worse again and again is told once an hour
		worse.Severity, w = a.Severity, &worse
	}
	var kind fleet.DeliveryKind
	if a.State == fleet.AlertSilenced && a.SilencedTo <= c.tx.Now {
		a.State, a.SilencedTo, a.RemindedAt = fleet.AlertRaised, 0, c.tx.Now
		kind = fleet.DeliverReminder
	}
	if a.Content != content(w) {
		if err := fill(a, w); err != nil {
			return false, err
		}
		if err := c.tx.SetAlertHosts(ctx, a.ID, hostsOf(w)); err != nil {
			return false, err
		}
	}
	if a.Severity.Order() > before.Severity.Order() && a.State != fleet.AlertSilenced {
		a.State, a.RemindedAt = fleet.AlertRaised, c.tx.Now // also where somebody looked after less
		kind = fleet.DeliverRaised
	}
	if c.remind > 0 && a.State == fleet.AlertRaised && c.tx.Now >= max(a.RaisedAt, a.RemindedAt).Add(c.remind) {
		a.RemindedAt, kind = c.tx.Now, fleet.DeliverReminder
	}
	if *a == before {
		return false, nil
	}
	a.LastSeenAt = c.tx.Now
	if err := c.tx.SaveAlert(ctx, a); err != nil {
		return false, err
	}
	if kind == "" {
		return true, nil
	}
	return true, c.tell(ctx, a, kind)
}

// gone notes that an alert's cause was not there; for the second time it is over.
func (c *change) gone(ctx context.Context, a *fleet.Alert) error {
	if a.GoneSince.IsZero() {
		a.GoneSince = c.tx.Now
		return c.tx.SaveAlert(ctx, a)
	}
	if flaps, err := c.flaps(ctx, a); err != nil || flaps && c.tx.Now < a.GoneSince.Add(steadyFor) { //guard:alert-flaps
		return err
	}
	silenced := a.State == fleet.AlertSilenced && a.SilencedTo > c.tx.Now
	a.State, a.Rank, a.ResolvedAt = fleet.AlertResolved, 0, c.tx.Now
	if err := c.tx.SaveAlert(ctx, a); err != nil || silenced {
		return err
	}
	return c.tell(ctx, a, fleet.DeliverResolved)
}

// flaps tells whether an alert was raised when it, or all of its host or repository, had
// been raised often just before.
func (c *change) flaps(ctx context.Context, a *fleet.Alert) (bool, error) {
	if a.RaisedAt < c.tx.Now.Add(-flapsMost) {
		return false, nil
	}
	if c.raised == nil {
		list, err := c.tx.RaisedSince(ctx, c.tx.Now.Add(-flapsMost-steadyFor))
		if err != nil {
			return false, err
		}
		c.raised = map[string][]fleet.Time{}
		for _, r := range list {
			subject := r.SubjectType + " " + r.SubjectID
			c.raised[r.Key] = append(c.raised[r.Key], r.RaisedAt)
			c.raised[subject] = append(c.raised[subject], r.RaisedAt)
		}
	}
	before := func(name string) (n int) {
		for _, at := range c.raised[name] {
			if at > a.RaisedAt.Add(-steadyFor) && at <= a.RaisedAt {
				n++
			}
		}
		return n
	}
	own := a.SubjectType == fleet.ObjectHost || a.SubjectType == fleet.ObjectRepository
	return before(a.Key) >= raisedOften || own && before(a.SubjectType+" "+a.SubjectID) >= troubledHost, nil
}

// tell promises a notice to every channel whose route takes it.
func (c *change) tell(ctx context.Context, a *fleet.Alert, kind fleet.DeliveryKind) error {
	if err := c.readChannels(ctx); err != nil {
		return err
	}
	n := &fleet.Notice{
		Kind: kind, Alert: a.ID, Code: a.Code, Severity: a.Severity, Title: a.Title, Message: a.Message, NextStep: a.NextStep,
		Objects: []fleet.AlertObject{}, ObjectsTotal: a.ObjectsTotal, RaisedAt: a.RaisedAt, At: c.tx.Now, ResolvedBy: a.ResolvedBy,
	}
	if err := a.Objects.Read(&n.Objects); err != nil {
		return fmt.Errorf("read the objects of alert %s: %w", a.ID, err)
	}
	n.Objects = n.Objects[:min(len(n.Objects), 20)]
	tags, err := c.tags(ctx, a.ID)
	if err != nil {
		return err
	}
	for i := range c.channels {
		if err := c.promise(ctx, &c.channels[i], n, a, tags); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) readChannels(ctx context.Context) (err error) {
	if !c.read {
		c.channels, err = c.tx.Channels(ctx)
		c.read = err == nil
	}
	return err
}

// tags are those of the hosts that an alert touches, where a route asks for them.
func (c *change) tags(ctx context.Context, id fleet.AlertID) (map[string]bool, error) {
	tags := map[string]bool{}
	if len(c.channels) == 0 {
		return tags, nil
	}
	lists, err := c.tx.TagsOfAlert(ctx, id)
	for _, list := range lists {
		for _, t := range list.Items() {
			tags[t] = true
		}
	}
	return tags, err
}

func (c *change) promise(ctx context.Context, channel *fleet.Channel, n *fleet.Notice, a *fleet.Alert, tags map[string]bool) error {
	if c.tells != nil && !c.tells(channel.Kind) {
		return nil
	}
	var route fleet.ChannelRoute
	if err := channel.Route.Read(&route); err != nil {
		return fmt.Errorf("read the route of channel %s: %w", channel.ID, err)
	}
	if !accepts(channel, &route, n, a, tags) {
		return nil
	}
	body, err := fleet.NewDoc(fleet.Parcel{Notices: []fleet.Notice{*n}})
	if err != nil {
		return err
	}
	at := fleet.At(route.SendAt(n.Severity, c.tx.Now.Time()))
	c.promised++
	return c.tx.AddDelivery(ctx, &fleet.Delivery{
		ID: fleet.NewID[fleet.DeliveryID](), ChannelID: channel.ID, AlertID: a.ID, Kind: n.Kind, State: fleet.DeliveryPending,
		Subject: n.Subject(), Body: body, Held: at > c.tx.Now, NextAt: at,
	})
}
