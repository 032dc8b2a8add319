package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"restic-manager/server/fleet"
	"restic-manager/server/secret"
	"restic-manager/server/store"
)

// Spec is what a person writes into a channel.
type Spec struct {
	Name, Kind string
	Enabled    bool
	Settings   map[string]string
	Secrets    map[string]string // left out: kept; empty: removed
	Route      fleet.ChannelRoute
}

// Create makes a channel, with its secrets sealed.
func (s *Service) Create(ctx context.Context, tx *store.Tx, spec Spec) (*fleet.Channel, error) {
	c := &fleet.Channel{ID: fleet.NewID[fleet.ChannelID]()}
	if err := s.fill(c, spec, tx.Now); err != nil {
		return nil, err
	}
	return c, tx.CreateChannel(ctx, c)
}

// Replace writes a channel, which must have been locked.
func (s *Service) Replace(ctx context.Context, tx *store.Tx, c *fleet.Channel, spec Spec) error {
	if c.Kind != spec.Kind {
		return fleet.Errorf(fleet.InvalidField, "The kind of a channel stays; make another channel.").At("/kind")
	}
	if err := s.fill(c, spec, tx.Now); err != nil {
		return err
	}
	return tx.SaveChannel(ctx, c)
}

// fill checks what a person gave and writes it into a channel.
func (s *Service) fill(c *fleet.Channel, spec Spec, now fleet.Time) error {
	kind, known := KindOf(spec.Kind)
	if !known {
		return fleet.Errorf(fleet.InvalidField, "There is no kind of channel of this name; channel-kinds lists them.").At("/kind")
	}
	if err := spec.Route.Check(); err != nil {
		return err
	}
	secrets, err := s.openSecrets(c)
	if err != nil && !replacesAll(kind, spec.Secrets) {
		return fleet.Wrap(fleet.SecretIntegrity, err, "The channel's secrets cannot be opened; enter all of them again.").At("/secrets")
	}
	changed := err != nil
	for name, value := range spec.Secrets {
		changed = changed || secrets[name] != value
		secrets[name] = value
	}
	if err := kind.moved(c, spec); err != nil { //guard:notify-moved
		return err
	}
	maps.DeleteFunc(secrets, func(_, value string) bool { return value == "" })
	if _, err := kind.check(spec.Settings, secrets, s.Out); err != nil {
		return err
	}
	c.Name, c.Kind, c.Enabled = spec.Name, spec.Kind, spec.Enabled
	settings, err := fleet.NewDoc(spec.Settings)
	if err != nil {
		return err
	}
	route, err := fleet.NewDoc(spec.Route)
	if err != nil {
		return err
	}
	c.Settings, c.Route = settings, route
	if changed || c.Sealed == "" {
		if err := s.seal(c, secrets); err != nil {
			return err
		}
	}
	plan(c, kind, &spec.Route, now)
	return nil
}

// moved refuses to send secrets that were given for one receiver to another: who may
// write a channel could read them there.
func (k *Kind) moved(c *fleet.Channel, spec Spec) error {
	before, after := Config{kind: k}, Config{k, spec.Settings}
	if err := c.Settings.Read(&before.values); err != nil {
		return err
	}
	stays := func(f Field) bool { return !f.Where || before.Get(f.Name) == after.Get(f.Name) }
	if c.Sealed == "" || !slices.ContainsFunc(k.Fields, func(f Field) bool { return !stays(f) }) {
		return nil
	}
	var found fleet.Fields
	for _, name := range c.SecretSet.Items() {
		if _, given := spec.Secrets[name]; !given {
			found = append(found, fleet.Errorf(fleet.InvalidField,
				"It was given for another server; enter it again, or remove it.").At("/secrets/"+name))
		}
	}
	return found.Err()
}

// replacesAll tells whether every secret of a kind is given anew.
func replacesAll(kind *Kind, given map[string]string) bool {
	for _, f := range kind.Fields {
		if _, there := given[f.Name]; f.Secret && f.Required && !there {
			return false
		}
	}
	return true
}

// plan says when the channel's next report and ping are due.
func plan(c *fleet.Channel, kind *Kind, route *fleet.ChannelRoute, now fleet.Time) {
	c.NextReport, c.NextPing = 0, 0
	switch {
	case !c.Enabled:
	case kind.Pings:
		c.NextPing = now
	case route.Report == "daily" || route.Report == "weekly":
		c.NextReport = fleet.At(route.NextAt(now.Time(), route.Report == "weekly"))
	}
}

// binding says where a channel's secrets lie.
func binding(c *fleet.Channel) secret.Binding {
	return secret.Binding{Table: "channels", Row: string(c.ID), Column: "sealed", Version: c.SealedAs}
}

func (s *Service) seal(c *fleet.Channel, secrets map[string]string) error {
	text, err := json.Marshal(secrets)
	if err != nil {
		return err
	}
	c.SealedAs++
	if c.Sealed, err = s.Seals.Seal(binding(c), text); err != nil {
		return fmt.Errorf("seal the secrets of channel %s: %w", c.ID, err)
	}
	c.SecretSet = fleet.NewList(slices.Sorted(maps.Keys(secrets)))
	return nil
}

// openSecrets gives a channel's secrets; an empty map where it has none, also beside
// an error.
func (s *Service) openSecrets(c *fleet.Channel) (map[string]string, error) {
	secrets := map[string]string{}
	if c.Sealed == "" {
		return secrets, nil
	}
	text, err := s.Seals.Open(binding(c), c.Sealed)
	if err != nil {
		return secrets, err
	}
	return secrets, json.Unmarshal(text, &secrets)
}

// open gives a channel's values for one attempt.
func (s *Service) open(c *fleet.Channel) (Config, error) {
	kind, known := KindOf(c.Kind)
	if !known {
		return Config{}, fmt.Errorf("no kind %q", c.Kind)
	}
	config := Config{kind: kind, values: map[string]string{}}
	if err := c.Settings.Read(&config.values); err != nil {
		return Config{}, err
	}
	secrets, err := s.openSecrets(c)
	if err != nil {
		return Config{}, err
	}
	maps.Copy(config.values, secrets)
	return config, nil
}

// Test sends a message through a channel at once, also where it is disabled, and
// writes down what came of it.
func (s *Service) Test(ctx context.Context, audit fleet.Audit, id fleet.ChannelID) (*fleet.Delivery, error) {
	channel, err := s.Store.Channel(ctx, id)
	if err != nil {
		return nil, err
	}
	d := &fleet.Delivery{
		ID: fleet.NewID[fleet.DeliveryID](), ChannelID: id, Kind: fleet.DeliverTest, State: fleet.DeliverySent,
		Subject: "Test of channel " + channel.Name, Attempts: 1, CreatedAt: fleet.At(s.Store.Now()),
	}
	p := fleet.Parcel{Text: "This is a test of the channel " + channel.Name + ". Nothing is wrong.\n"}
	if !Tells(channel.Kind) {
		if p, err = s.state(ctx); err != nil {
			return nil, err
		}
	}
	if d.Body, err = fleet.NewDoc(p); err != nil {
		return nil, err
	}
	o := s.attempt(ctx, channel, d)
	err = s.Store.Update(context.WithoutCancel(ctx), audit, func(tx *store.Tx) error {
		tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName = fleet.ObjectChannel, string(id), channel.Name
		d.SentAt, d.NextAt, d.Error = tx.Now, d.CreatedAt, o.text
		tx.Audit.Detail = "sent"
		if o.err != nil {
			d.State, d.SentAt, tx.Audit.Detail = fleet.DeliveryFailed, 0, "failed: "+o.text
		}
		if _, err := tx.LockChannel(ctx, id); err != nil {
			return err
		}
		if o.err == nil { // it works again: what waits is sent at once
			if err := tx.NoteChannel(ctx, id, 0, 0, 0); err != nil {
				return err
			}
		}
		return tx.AddDelivery(ctx, d)
	})
	if err != nil {
		return nil, err
	}
	s.Wake()
	return d, nil
}
