package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/notify"
	"restic-manager/server/store"
)

// ListChannelKinds lists kinds of channels and their fields.
func (h *Handlers) ListChannelKinds(context.Context, ListChannelKindsRequestObject) (ListChannelKindsResponseObject, error) {
	view := ListChannelKinds200JSONResponse{Kinds: []ChannelKind{}}
	for _, k := range notify.Kinds {
		kind := ChannelKind{Name: k.Name, Title: k.Title, Description: k.Description, Fields: []ChannelField{}}
		for _, f := range k.Fields {
			kind.Fields = append(kind.Fields, ChannelField{
				Name: f.Name, Label: f.Label, Help: f.Help, Type: f.Type, Required: f.Required, Secret: f.Secret, Options: f.Options, Default: f.Default,
			})
		}
		view.Kinds = append(view.Kinds, kind)
	}
	return view, nil
}

// ListChannels lists channels by name.
func (h *Handlers) ListChannels(ctx context.Context, _ ListChannelsRequestObject) (ListChannelsResponseObject, error) {
	list, err := h.store.Channels(ctx)
	if err != nil {
		return nil, err
	}
	last, err := h.store.LastDeliveries(ctx)
	if err != nil {
		return nil, err
	}
	view := ListChannels200JSONResponse{Channels: make([]Channel, len(list))}
	for i := range list {
		if view.Channels[i], err = toChannel(&list[i], last); err != nil {
			return nil, err
		}
	}
	return view, nil
}

// CreateChannel makes a channel.
func (h *Handlers) CreateChannel(ctx context.Context, r CreateChannelRequestObject) (CreateChannelResponseObject, error) {
	var c *fleet.Channel
	err := h.store.Update(ctx, auth.Audit(ctx, "channel.create"), func(tx *store.Tx) (err error) {
		if c, err = h.notify.Create(ctx, tx, toSpec(r.Body)); err == nil {
			aboutChannel(tx, c)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	h.notify.Wake()
	view, err := toChannel(c, nil)
	return CreateChannel201JSONResponse(view), err
}

// ReadChannel reads a channel.
func (h *Handlers) ReadChannel(ctx context.Context, r ReadChannelRequestObject) (ReadChannelResponseObject, error) {
	view, err := h.viewChannel(ctx, fleet.ChannelID(r.ChannelId))
	return ReadChannel200JSONResponse(view), err
}

// ReplaceChannel replaces a channel's settings; secrets that are left out stay.
func (h *Handlers) ReplaceChannel(ctx context.Context, r ReplaceChannelRequestObject) (ReplaceChannelResponseObject, error) {
	id := fleet.ChannelID(r.ChannelId)
	err := h.store.Update(ctx, auth.Audit(ctx, "channel.update"), func(tx *store.Tx) error {
		c, err := tx.LockChannel(ctx, id)
		if err != nil {
			return err
		}
		if seen := r.Params.IfVersion; seen != 0 && seen != c.Version {
			return fleet.Errorf(fleet.VersionConflict, "Somebody changed this channel meanwhile; read it again and repeat your change.").At("if_version")
		}
		err = h.notify.Replace(ctx, tx, c, toSpec(r.Body))
		aboutChannel(tx, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.notify.Wake()
	view, err := h.viewChannel(ctx, id)
	return ReplaceChannel200JSONResponse(view), err
}

// DeleteChannel deletes a channel with its deliveries.
func (h *Handlers) DeleteChannel(ctx context.Context, r DeleteChannelRequestObject) (DeleteChannelResponseObject, error) {
	id := fleet.ChannelID(r.ChannelId)
	err := h.store.Update(ctx, auth.Audit(ctx, "channel.delete"), func(tx *store.Tx) error {
		c, err := tx.Channel(ctx, id)
		if err != nil {
			return err
		}
		aboutChannel(tx, c)
		return tx.DeleteChannel(ctx, id)
	})
	return DeleteChannel204Response{}, err
}

// TestChannel sends a test through a channel and waits for what comes of it.
func (h *Handlers) TestChannel(ctx context.Context, r TestChannelRequestObject) (TestChannelResponseObject, error) {
	d, err := h.notify.Test(ctx, auth.Audit(ctx, "channel.test"), fleet.ChannelID(r.ChannelId))
	if err != nil {
		return nil, err
	}
	return TestChannel200JSONResponse(toDelivery(d)), nil
}

// ListDeliveries lists what was sent through a channel, newest first.
func (h *Handlers) ListDeliveries(ctx context.Context, r ListDeliveriesRequestObject) (ListDeliveriesResponseObject, error) {
	id := fleet.ChannelID(r.ChannelId)
	if _, err := h.store.Channel(ctx, id); err != nil {
		return nil, err
	}
	list, next, err := h.store.Deliveries(ctx, id, store.Page{Size: r.Params.PageSize, Token: r.Params.PageToken})
	if err != nil {
		return nil, err
	}
	view := ListDeliveries200JSONResponse{Deliveries: make([]Delivery, len(list)), NextPageToken: next}
	for i := range list {
		view.Deliveries[i] = toDelivery(&list[i])
	}
	return view, nil
}

func aboutChannel(tx *store.Tx, c *fleet.Channel) {
	about(tx, "channel", string(c.ID), c.Name)
	tx.Audit.Detail = fmt.Sprintf("kind %s; enabled %t; settings %s; secrets %s; route %s", c.Kind, c.Enabled, plainly(c.Settings), listed(c.SecretSet.Items()), plainly(c.Route))
}

func toSpec(b *ChannelSpec) notify.Spec {
	spec := notify.Spec{
		Name: b.Name, Kind: b.Kind, Enabled: b.Enabled == nil || *b.Enabled,
		Settings: toMap(b.Settings), Secrets: toMap(b.Secrets),
	}
	if r := b.Route; r != nil {
		spec.Route = fleet.ChannelRoute{
			MinSeverity: fleet.Severity(r.MinSeverity), Tags: r.Tags, Resolved: r.Resolved, Digest: string(r.Digest),
			Zone: r.Zone, Report: string(r.Report), At: r.At,
		}
		for _, w := range r.Quiet {
			window := fleet.Window{From: w.From, To: w.To}
			for _, d := range w.Days {
				window.Days = append(window.Days, string(d))
			}
			spec.Route.Quiet = append(spec.Route.Quiet, window)
		}
	}
	return spec
}

// toMap takes settings; of a name that is there twice the last counts.
func toMap(list []ChannelSetting) map[string]string {
	m := map[string]string{}
	for _, s := range list {
		m[s.Name] = s.Value
	}
	return m
}

func (h *Handlers) viewChannel(ctx context.Context, id fleet.ChannelID) (Channel, error) {
	c, err := h.store.Channel(ctx, id)
	if err != nil {
		return Channel{}, err
	}
	last, err := h.store.LastDeliveries(ctx)
	if err != nil {
		return Channel{}, err
	}
	return toChannel(c, last)
}

func toChannel(c *fleet.Channel, last map[fleet.ChannelID]fleet.Delivery) (Channel, error) {
	view := Channel{
		Id: string(c.ID), Name: c.Name, Kind: c.Kind, Enabled: c.Enabled, Settings: []ChannelSetting{}, SecretsSet: c.SecretSet.Items(),
		FailingSince: c.FailingSince.Time(), Version: c.Version, CreatedAt: c.CreatedAt.Time(),
	}
	settings := map[string]string{}
	if err := c.Settings.Read(&settings); err != nil {
		return Channel{}, fmt.Errorf("read channel %s: %w", c.ID, err)
	}
	for name, value := range settings {
		view.Settings = append(view.Settings, ChannelSetting{Name: name, Value: value})
	}
	slices.SortFunc(view.Settings, func(a, b ChannelSetting) int { return cmp.Compare(a.Name, b.Name) })
	if err := c.Route.Read(&view.Route); err != nil {
		return Channel{}, fmt.Errorf("read the route of channel %s: %w", c.ID, err)
	}
	completeRoute(&view.Route)
	if d, ok := last[c.ID]; ok {
		delivery := toDelivery(&d)
		view.LastDelivery = &delivery
	}
	return view, nil
}

// completeRoute says the defaults of what was left out.
func completeRoute(r *ChannelRoute) {
	r.MinSeverity = cmp.Or(r.MinSeverity, Severity(fleet.Warn))
	r.Digest, r.Report = cmp.Or(r.Digest, "none"), cmp.Or(r.Report, "none")
	r.At, r.Zone = cmp.Or(r.At, fleet.DefaultClock), cmp.Or(r.Zone, "UTC")
	if r.Resolved == nil {
		yes := true
		r.Resolved = &yes
	}
}

func toDelivery(d *fleet.Delivery) Delivery {
	view := Delivery{
		Id: string(d.ID), ChannelId: string(d.ChannelID), AlertId: string(d.AlertID), Kind: DeliveryKind(d.Kind), State: DeliveryState(d.State),
		Subject: d.Subject, Attempts: d.Attempts, Error: d.Error, CreatedAt: d.CreatedAt.Time(), SentAt: d.SentAt.Time(),
	}
	if d.State == fleet.DeliveryPending {
		view.NextAttemptAt = d.NextAt.Time()
	}
	return view
}
