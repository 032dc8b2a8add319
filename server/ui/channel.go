package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// channel is a channel with its route, whose members say whether they were given.
type channel struct {
	api.Channel
	Route channelRoute `json:"route"`
}

type channelRoute struct {
	MinSeverity api.Severity           `json:"min_severity,omitempty"`
	Tags        []api.Tag              `json:"tags,omitempty"`
	Resolved    *bool                  `json:"resolved,omitempty"`
	Digest      api.ChannelRouteDigest `json:"digest,omitempty"`
	Quiet       []api.Window           `json:"quiet,omitempty"`
	Zone        string                 `json:"zone,omitempty"`
	Report      api.ChannelRouteReport `json:"report,omitempty"`
	At          api.Clock              `json:"at,omitempty"`
}

type channelRow struct {
	Channel channel
	Kind    string
	State   web.State
	Route   string
	Last    *delivered
}

type delivered struct {
	api.Delivery
	Look web.State
}

// channelState is how a channel stands.
func channelState(c channel) web.State {
	switch {
	case !c.Enabled:
		return web.State{Tone: web.Idle, Glyph: "stop", Word: "Off"}
	case !c.FailingSince.IsZero():
		return web.State{Tone: web.Risk, Glyph: "risk", Word: "Failing"}
	case c.LastDelivery == nil:
		return web.State{Tone: web.Idle, Glyph: "wait", Word: "Not used yet"}
	case c.LastDelivery.State == api.DeliveryStateFailed: // a test too
		return web.State{Tone: web.Warn, Glyph: "warn", Word: "The last one failed"}
	}
	return web.State{Tone: web.OK, Glyph: "ok", Word: "Works"}
}

func deliveryOf(d api.Delivery) delivered {
	look := web.State{Tone: web.Idle, Glyph: "wait", Word: "Waiting"}
	switch d.State {
	case api.DeliveryStateSent:
		look = web.State{Tone: web.OK, Glyph: "ok", Word: "Sent"}
	case api.DeliveryStateFailed:
		look = web.State{Tone: web.Risk, Glyph: "risk", Word: "Failed"}
	}
	return delivered{d, look}
}

// routeWords tells a route in a line.
func routeWords(r channelRoute) string {
	words := "warnings and worse"
	switch r.MinSeverity {
	case api.SeverityCritical:
		words = "critical alerts"
	case api.SeverityInfo:
		words = "all alerts"
	}
	if len(r.Tags) > 0 {
		words += " of hosts tagged " + strings.Join(r.Tags, " or ")
	}
	if r.Digest != "" && r.Digest != api.ChannelRouteDigestNone {
		words += ", gathered " + string(r.Digest)
	}
	if len(r.Quiet) > 0 {
		words += ", quiet hours"
	}
	if r.Report != "" && r.Report != api.ChannelRouteReportNone {
		words += ", report " + string(r.Report)
	}
	return words
}

type channelsView struct {
	web.Shell
	Tabs  []web.Tab
	Rows  []channelRow
	Known bool
	Empty web.Empty
}

func (u *UI) channels(v *visit) error {
	shell, err := v.shell("Channels", web.Crumb{Label: "Alerts", Href: "/alerts"}, web.Crumb{Label: "Channels"})
	if err != nil {
		return err
	}
	list, ok, err := part[struct {
		Channels []channel `json:"channels"`
	}](v, "/api/v1/channels", nil)
	if err != nil {
		return err
	}
	kinds, _, err := part[api.ChannelKindList](v, "/api/v1/channel-kinds", nil)
	if err != nil {
		return err
	}
	view := channelsView{Shell: shell, Tabs: alertTabs("channels", shell), Known: ok, Empty: web.Empty{
		Title: "Nobody is told yet", Text: "A channel is a way to tell a person: by mail, a webhook and others. Without one, alerts are seen only here."}}
	if shell.User.May("admin") {
		view.Empty.Action = web.Link{Label: "Add a channel", Href: "/channels/new"}
	}
	for _, c := range list.Channels {
		row := channelRow{Channel: c, Kind: kindTitle(kinds.Kinds, c.Kind), State: channelState(c), Route: routeWords(c.Route)}
		if c.LastDelivery != nil {
			last := deliveryOf(*c.LastDelivery)
			row.Last = &last
		}
		view.Rows = append(view.Rows, row)
	}
	return v.show(http.StatusOK, "channels", view)
}

func kindTitle(kinds []api.ChannelKind, name string) string {
	for _, k := range kinds {
		if k.Name == name {
			return k.Title
		}
	}
	return name
}

type channelView struct {
	web.Shell
	Channel    *channel // nil: a new one
	Kind       *api.ChannelKind
	Kinds      []api.ChannelKind // to choose from, for a new one
	State      web.State
	Refused    *web.Banner
	Tested     *web.Banner
	Action     string
	Deliveries []delivered
	Sent       bool // the deliveries are known
	Pager      web.Pager
	Delete     web.Dialog

	Name, Enabled                                                web.Field
	Settings                                                     []channelInput
	MinSeverity, Tags, Resolved, Digest, Quiet, Zone, Report, At web.Field
}

// channelInput is a field of the kind: what to type, and for a secret that is kept, a
// way to remove it.
type channelInput struct {
	web.Field
	Type   string
	Remove *web.Field
}

func (u *UI) newChannel(v *visit) error {
	return v.showChannel(http.StatusOK, filled(map[string]string{"enabled": "true", "resolved": "true", "min_severity": "warning", "digest": "none", "report": "none", "kind": v.query("kind")}), nil, nil, nil)
}

func (u *UI) channel(v *visit) error {
	c, err := get[channel](v, v.channelPath(), nil)
	if err != nil {
		return err
	}
	return v.showChannel(http.StatusOK, channelForm(c), nil, nil, &c)
}

func (v *visit) channelPath() string { return "/api/v1/channels/" + url.PathEscape(v.param("channel")) }

// channelForm fills the form with a channel as it is; secrets never come back.
func channelForm(c channel) *form {
	r := c.Route
	f := filled(map[string]string{
		"name": string(c.Name), "kind": c.Kind, "min_severity": string(r.MinSeverity), "tags": joined(r.Tags), "digest": string(r.Digest),
		"quiet": windowLines(r.Quiet), "zone": r.Zone, "report": string(r.Report), "at": r.At,
	})
	if r.MinSeverity == "" {
		f.set("min_severity", "warning")
	}
	if r.Resolved == nil || *r.Resolved {
		f.set("resolved", "true")
	}
	if c.Enabled {
		f.set("enabled", "true")
	}
	for _, s := range c.Settings {
		f.set(settingPrefix+s.Name, s.Value)
	}
	return f
}

const settingPrefix, removePrefix = "setting.", "remove."

// showChannel shows what was typed; c is the channel as it is, nil for a new one.
func (v *visit) showChannel(status int, f *form, refused, tested *web.Banner, c *channel) error {
	kinds, err := get[api.ChannelKindList](v, "/api/v1/channel-kinds", nil)
	if err != nil {
		return err
	}
	title := "Add a channel"
	if c != nil {
		title = string(c.Name)
	}
	shell, err := v.shell(title, web.Crumb{Label: "Alerts", Href: "/alerts"}, web.Crumb{Label: "Channels", Href: "/channels"}, web.Crumb{Label: title})
	if err != nil {
		return err
	}
	view := channelView{Shell: shell, Channel: c, Refused: refused, Tested: tested, Action: "/channels/new", Kinds: kinds.Kinds}
	for i, k := range kinds.Kinds {
		if k.Name == f.raw("kind") {
			view.Kind = &kinds.Kinds[i]
		}
	}
	if c != nil {
		at := "/channels/" + string(c.Id)
		view.Action, view.State, view.Address = at, channelState(*c), at
		view.Delete = web.Dialog{ID: "delete", Title: "Delete this channel?", Text: "Nothing is told through it any more. What it sent is forgotten.", Action: at + "/delete", Confirm: "Delete channel", Keep: "Keep it", Danger: true}
		if err := v.deliveries(&view); err != nil {
			return err
		}
	}
	view.fill(f)
	if !shell.User.May("admin") {
		view.onlyShow()
	}
	return v.show(status, "channel", view)
}

func (v *visit) deliveries(view *channelView) error {
	q := url.Values{"page_size": {"20"}}
	if t := v.query("page_token"); t != "" {
		q.Set("page_token", t)
	}
	page, ok, err := part[api.DeliveryPage](v, "/api/v1/channels/"+string(view.Channel.Id)+"/deliveries", q)
	if err != nil {
		return err
	}
	view.Sent = ok
	for _, d := range page.Deliveries {
		view.Deliveries = append(view.Deliveries, deliveryOf(d))
	}
	if v.r.Method == http.MethodGet {
		view.Pager = v.pager(page.NextPageToken)
	}
	return nil
}

func (view *channelView) fill(f *form) {
	view.Name = f.with(web.Field{Name: "name", Label: "Name", Required: true, Autofocus: view.Channel == nil, Autocomplete: "off"})
	view.Enabled = f.with(web.Field{Name: "enabled", Label: "Enabled"})
	if view.Kind != nil {
		for _, field := range view.Kind.Fields {
			view.Settings = append(view.Settings, channelField(f, field, view.Channel))
		}
	}
	view.MinSeverity = f.with(web.Field{Name: "min_severity", Label: "Tell of", Options: []web.Option{{Value: "warning", Label: "warnings and worse"}, {Value: "critical", Label: "critical alerts only"}, {Value: "info", Label: "everything"}}})
	view.Tags = f.with(web.Field{Name: "tags", Label: "Only of hosts tagged", Placeholder: "all hosts", Hint: "Separated by blanks; one of them is enough.", Autocomplete: "off"})
	view.Resolved = f.with(web.Field{Name: "resolved", Label: "Also tell when it is over"})
	view.Digest = f.with(web.Field{Name: "digest", Label: "Gather what is not critical", Options: []web.Option{{Value: "none", Label: "no, tell at once"}, {Value: "hourly", Label: "into one message an hour"}, {Value: "daily", Label: "into one message a day"}}})
	view.Quiet = f.with(web.Field{Name: "quiet", Label: "Quiet hours", Rows: 2, Mono: true, Placeholder: "22:00-07:00", Hint: "One a line. What is not critical waits until they end."})
	view.Report = f.with(web.Field{Name: "report", Label: "Report on all hosts", Options: []web.Option{{Value: "none", Label: "none"}, {Value: "daily", Label: "every day"}, {Value: "weekly", Label: "every week"}}})
	view.At = f.with(web.Field{Name: "at", Label: "Daily messages at", Placeholder: "08:00", Autocomplete: "off"})
	view.Zone = f.with(web.Field{Name: "zone", Label: "Time zone of these", Placeholder: "UTC", Autocomplete: "off", List: "zones"})
}

// onlyShow turns every field off, for who may read but not change.
func (view *channelView) onlyShow() {
	for _, field := range []*web.Field{&view.Name, &view.Enabled, &view.MinSeverity, &view.Tags, &view.Resolved, &view.Digest, &view.Quiet, &view.Zone, &view.Report, &view.At} {
		field.Disabled = true
	}
	for i := range view.Settings {
		view.Settings[i].Disabled, view.Settings[i].Remove = true, nil
	}
}

// channelField makes an input of a kind's field.
func channelField(f *form, field api.ChannelField, c *channel) channelInput {
	in := channelInput{Type: field.Type, Field: web.Field{Name: settingPrefix + field.Name, Label: field.Label, Hint: field.Help, Required: field.Required, Autocomplete: "off"}}
	if c == nil && !f.has(in.Name) && field.Default != "" {
		f.set(in.Name, field.Default)
	}
	switch {
	case field.Secret:
		in.Field.Type, in.Autocomplete = "password", "new-password"
		if field.Type == "url" { // an address is hard to type unseen
			in.Field.Type, in.Autocomplete, in.Mono = "text", "off", true
		}
		if c != nil && slices.Contains(c.SecretsSet, field.Name) {
			in.Required = false
			in.Hint = strings.TrimSpace(field.Help + " One is set; leave this empty to keep it.")
			if !field.Required {
				remove := f.with(web.Field{Name: removePrefix + field.Name, Label: "Remove the one that is set"})
				in.Remove = &remove
			}
		}
	case field.Type == "choice":
		for _, o := range field.Options {
			in.Options = append(in.Options, web.Option{Value: o, Label: o})
		}
	case field.Type == "list":
		in.Rows = 3
	case field.Type == "url":
		in.Mono = true
	case field.Type == "number":
		in.Pattern = "[0-9]*"
	}
	if !field.Required && field.Default == "" && len(in.Options) > 0 && in.Options[0].Value != "" {
		in.Options = append([]web.Option{{Label: "–"}}, in.Options...)
	}
	in.Field = f.with(in.Field)
	if field.Secret { //guard:channel-secret-shown
		in.Value = "" // not even after a refusal
	}
	return in
}
