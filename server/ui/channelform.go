package ui

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// channelSpec is what the contract takes, with a route that can say no.
type channelSpec struct {
	api.ChannelSpec
	Route *channelRoute `json:"route,omitempty"`
}

// readChannel reads the form by the kind's fields, on top of the channel as it is.
func readChannel(f *form, kind *api.ChannelKind, c *channel) (spec channelSpec) {
	enabled, resolved := f.checked("enabled"), f.checked("resolved")
	spec.Name, spec.Kind, spec.Enabled = f.get("name"), f.raw("kind"), &enabled
	spec.Route = &channelRoute{
		MinSeverity: api.Severity(f.raw("min_severity")), Tags: f.words("tags"), Resolved: &resolved, Digest: api.ChannelRouteDigest(f.raw("digest")),
		Zone: f.get("zone"), Report: api.ChannelRouteReport(f.raw("report")),
	}
	if at := f.get("at"); at != "" {
		text, ok := clock(at)
		if spec.Route.At = text; !ok || !strings.Contains(at, ":") {
			f.wrong("at", "A time of day, such as 08:00.")
		}
	}
	quiet, wrong := windows(f.lines("quiet"))
	if spec.Route.Quiet = quiet; wrong != "" {
		f.wrong("quiet", wrong)
	}
	if kind == nil {
		return spec
	}
	for _, field := range kind.Fields {
		name := settingPrefix + field.Name
		switch {
		case !field.Secret && f.has(name):
			if value := strings.TrimSpace(strings.ReplaceAll(f.raw(name), "\r\n", "\n")); value != "" {
				spec.Settings = append(spec.Settings, api.ChannelSetting{Name: field.Name, Value: value})
			}
		case !field.Secret && c != nil: // not in the form: stays
			for _, s := range c.Settings {
				if s.Name == field.Name {
					spec.Settings = append(spec.Settings, s)
				}
			}
		case field.Secret && f.raw(name) != "":
			spec.Secrets = append(spec.Secrets, api.ChannelSetting{Name: field.Name, Value: f.raw(name)})
		case field.Secret && f.checked(removePrefix+field.Name):
			spec.Secrets = append(spec.Secrets, api.ChannelSetting{Name: field.Name})
		}
	}
	return spec
}

func (u *UI) createChannel(v *visit) error { return v.sendChannel(nil) }

func (u *UI) saveChannel(v *visit) error {
	c, err := get[channel](v, v.channelPath(), nil)
	if err != nil {
		return err
	}
	return v.sendChannel(&c)
}

func (v *visit) sendChannel(c *channel) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	if c != nil {
		f.set("kind", c.Kind)
	}
	kinds, err := get[api.ChannelKindList](v, "/api/v1/channel-kinds", nil)
	if err != nil {
		return err
	}
	var kind *api.ChannelKind
	for i, k := range kinds.Kinds {
		if k.Name == f.raw("kind") {
			kind = &kinds.Kinds[i]
		}
	}
	spec := readChannel(f, kind, c)
	if len(f.errors) > 0 {
		return v.showChannel(http.StatusUnprocessableEntity, f, refusal("Not saved", "Look at the fields that are marked."), nil, c)
	}
	method, path, did := http.MethodPost, "/api/v1/channels", "channel-created"
	if c != nil {
		method, path, did = http.MethodPut, v.channelPath()+"?"+url.Values{"if_version": {f.raw("version")}}.Encode(), "channel-saved"
	}
	made, err := send[api.Channel](v, method, path, spec)
	switch {
	case is(err, "version_conflict"):
		return v.showChannel(http.StatusConflict, f, refusal("Not saved", "Somebody changed this channel meanwhile. Save again to replace their version by yours."), nil, c)
	case err != nil:
		banner, err := f.refused(named(err, spec), channelFields(kind)...)
		if err != nil {
			return err
		}
		return v.showChannel(http.StatusUnprocessableEntity, f, banner, nil, c)
	}
	return v.goTo("/channels/" + string(made.Id) + "?done=" + did)
}

func channelFields(kind *api.ChannelKind) []string {
	names := []string{"name", "min_severity", "tags", "digest", "quiet", "zone", "report", "at"}
	if kind != nil {
		for _, field := range kind.Fields {
			names = append(names, settingPrefix+field.Name)
		}
	}
	return names
}

// named makes pointers to places in the lists of settings and secrets, such as
// "/settings/2/value" or "/settings/url", pointers to the form's fields.
func named(err error, spec channelSpec) error {
	p, ok := err.(*problem)
	if !ok {
		return err
	}
	out := *p
	out.Fields = nil
	for _, field := range p.Fields {
		field.Field = settingPointer(field.Field, spec)
		out.Fields = append(out.Fields, field)
	}
	out.Field = settingPointer(p.Field, spec)
	return &out
}

func settingPointer(pointer string, spec channelSpec) string {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	list, ok := map[string][]api.ChannelSetting{"settings": spec.Settings, "secrets": spec.Secrets}[parts[0]]
	if !ok || len(parts) < 2 {
		return pointer
	}
	name := parts[1]
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < len(list) {
		name = list[n].Name
	}
	return "/" + settingPrefix + name
}

// testChannel really sends, and shows what came of it.
func (u *UI) testChannel(v *visit) error {
	d, err := send[api.Delivery](v, http.MethodPost, v.channelPath()+"/test", nil)
	var banner *web.Banner
	if err != nil {
		if banner, err = filled(nil).refused(err); err != nil {
			return err
		}
	} else if d.State == api.DeliveryStateSent {
		banner = &web.Banner{State: web.State{Tone: web.OK, Glyph: "ok", Word: "The test was sent"}, Text: "The receiver has taken it. Look there whether it arrived."}
	} else {
		banner = &web.Banner{State: web.State{Tone: web.Risk, Glyph: "risk", Word: "The test did not get through"}, Text: visible(d.Error)}
	}
	c, err := get[channel](v, v.channelPath(), nil)
	if err != nil {
		return err
	}
	return v.showChannel(http.StatusOK, channelForm(c), nil, banner, &c)
}

func (u *UI) deleteChannel(v *visit) error {
	if err := v.call(http.MethodDelete, v.channelPath(), nil, nil); err != nil {
		return err
	}
	return v.goTo("/channels?done=channel-deleted")
}
