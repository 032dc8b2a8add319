package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"restic-manager/server/api"
	"restic-manager/web"
)

type rulesView struct {
	web.Shell
	Tabs    []web.Tab
	Refused *web.Banner
	Kinds   []api.AlertKind
	Rules   []ruleRow
	Version int64
	Known   bool

	Remind, Scope, Tag, Host, Code, Does, Severity, Threshold web.Field
}

// ruleRow is a rule in words.
type ruleRow struct {
	Number    int // its place in the list
	Kind      api.AlertKind
	Where     string
	Href      string
	Off       bool
	Look      *web.State // nil: the kind's own severity
	Threshold string
}

func (u *UI) alertRules(v *visit) error {
	return v.showRules(http.StatusOK, filled(map[string]string{"scope": "fleet", "does": "on"}), nil)
}

func (v *visit) showRules(status int, f *form, refused *web.Banner) error {
	r, known, err := part[api.AlertRules](v, "/api/v1/alert-rules", nil)
	if err != nil {
		return err
	}
	shell, err := v.shell("Thresholds", web.Crumb{Label: "Alerts", Href: "/alerts"}, web.Crumb{Label: "Thresholds"})
	if err != nil {
		return err
	}
	if !f.has("remind_after_s") {
		f.set("remind_after_s", span(int64(r.RemindAfterS)))
	}
	view := rulesView{Shell: shell, Known: known, Tabs: alertTabs("rules", shell), Refused: refused, Kinds: r.Kinds, Version: r.Version}
	for i, rule := range r.Rules {
		row, err := v.ruleRowOf(i, rule, r.Kinds)
		if err != nil {
			return err
		}
		view.Rules = append(view.Rules, row)
	}
	codes := web.Field{Name: "code", Label: "What"}
	for _, k := range r.Kinds {
		codes.Options = append(codes.Options, web.Option{Value: k.Code, Label: k.Title})
	}
	view.Code = f.with(codes)
	view.Remind = f.with(web.Field{Name: "remind_after_s", Label: "Remind of an open alert after", Placeholder: "never", Hint: "Empty is never. Such as 1 d.", Autocomplete: "off"})
	view.Scope = f.with(web.Field{Name: "scope", Label: "Where", Options: []web.Option{{Value: "fleet", Label: "everywhere"}, {Value: "tag", Label: "hosts with a tag"}, {Value: "host", Label: "one host"}}})
	view.Tag = f.with(web.Field{Name: "tag", Label: "The tag", Autocomplete: "off"})
	view.Host = f.with(web.Field{Name: "host_id", Label: "The host's name", Autocomplete: "off"})
	view.Does = f.with(web.Field{Name: "does", Label: "Raise it", Options: []web.Option{{Value: "on", Label: "yes"}, {Value: "off", Label: "no"}}})
	view.Severity = f.with(choiceOr("severity", "As", "its own severity", "critical", "warning", "info"))
	view.Threshold = f.with(web.Field{Name: "threshold", Label: "From", Pattern: "[0-9]*", Placeholder: "its own", Hint: "In the unit of the table below; not every kind has one.", Autocomplete: "off"})
	return v.show(status, "alert-rules", view)
}

// choiceOr is a choice with a first one that means none of them.
func choiceOr(name, label, none string, values ...string) web.Field {
	f := choice(name, label, "", values...)
	f.Options[0].Label = none
	return f
}

func (v *visit) ruleRowOf(i int, rule api.AlertRule, kinds []api.AlertKind) (ruleRow, error) {
	row := ruleRow{Number: i, Kind: api.AlertKind{Code: rule.Code, Title: rule.Code}, Where: "everywhere", Off: rule.Enabled != nil && !*rule.Enabled}
	for _, k := range kinds {
		if k.Code == rule.Code {
			row.Kind = k
		}
	}
	switch rule.Scope {
	case api.AlertRuleScopeTag:
		row.Where = "hosts tagged " + rule.Tag
	case api.AlertRuleScopeHost:
		row.Href = "/hosts/" + string(rule.HostId)
		h, ok, err := part[api.Host](v, "/api/v1/hosts/"+url.PathEscape(string(rule.HostId)), nil)
		if err != nil {
			return row, err
		}
		if row.Where = string(h.Name); !ok {
			row.Where, row.Href = "a host that is gone", ""
		}
	}
	if rule.Severity != "" {
		look := severityLook(rule.Severity)
		row.Look = &look
	}
	if rule.Threshold != nil {
		row.Threshold = amount(*rule.Threshold, row.Kind.Unit)
	}
	return row, nil
}

// saveAlertRules adds a rule, takes one away, or sets when to remind: the contract
// takes all of them at once, at the version that was looked at.
func (u *UI) saveAlertRules(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	r, err := get[api.AlertRules](v, "/api/v1/alert-rules", nil)
	if err != nil {
		return err
	}
	spec := api.AlertRulesSpec{Rules: r.Rules, RemindAfterS: &r.RemindAfterS}
	if spec.Rules == nil {
		spec.Rules = []api.AlertRule{}
	}
	switch f.raw("do") {
	case "add":
		rule, err := v.typedRule(f)
		if err != nil {
			return err
		}
		spec.Rules = append(spec.Rules, rule)
	case "remove":
		n, err := strconv.Atoi(f.raw("number"))
		if err != nil || n < 0 || n >= len(spec.Rules) {
			return v.showRules(http.StatusUnprocessableEntity, f, refusal("Not removed", "There is no such rule any more."))
		}
		spec.Rules = slices.Delete(spec.Rules, n, n+1)
	default:
		s, ok := seconds(f.get("remind_after_s"))
		if remind := int(min(s, 1<<31-1)); ok {
			spec.RemindAfterS = &remind
		} else {
			f.wrong("remind_after_s", notASpan)
		}
	}
	if len(f.errors) > 0 {
		return v.showRules(http.StatusUnprocessableEntity, f, nil)
	}
	_, err = send[api.AlertRules](v, http.MethodPut, "/api/v1/alert-rules?"+url.Values{"if_version": {f.raw("version")}}.Encode(), spec)
	switch {
	case is(err, "version_conflict"):
		return v.showRules(http.StatusConflict, f, refusal("Not saved", "Somebody changed the rules meanwhile. Look at them and try again."))
	case err != nil:
		banner, err := f.refused(err, "scope", "tag", "host_id", "code", "severity", "threshold", "remind_after_s")
		if err != nil {
			return err
		}
		return v.showRules(http.StatusUnprocessableEntity, f, banner)
	}
	return v.goTo("/alerts/rules?done=rules-saved")
}

// typedRule reads a rule; its host is typed by name.
func (v *visit) typedRule(f *form) (api.AlertRule, error) {
	enabled := f.raw("does") != "off"
	rule := api.AlertRule{Scope: api.AlertRuleScope(f.raw("scope")), Code: f.raw("code"), Enabled: &enabled, Severity: api.Severity(f.raw("severity"))}
	if text := f.get("threshold"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if rule.Threshold = &n; err != nil || n < 0 {
			f.wrong("threshold", "A whole number, or nothing.")
		}
	}
	switch rule.Scope {
	case api.AlertRuleScopeTag:
		if rule.Tag = f.get("tag"); rule.Tag == "" {
			f.wrong("tag", "Which tag?")
		}
	case api.AlertRuleScopeHost:
		id, err := v.hostNamed(f.get("host_id"))
		if err != nil {
			return rule, err
		}
		if rule.HostId = id; id == "" {
			f.wrong("host_id", "No host has this name.")
		}
	}
	return rule, nil
}

// hostNamed finds a host by its whole name; empty when there is none.
func (v *visit) hostNamed(name string) (id api.Id, err error) {
	if name == "" || len(name) > 100 {
		return "", nil
	}
	err = everything(url.Values{"q": {name}}, func(q url.Values) (string, error) {
		page, err := get[api.HostPage](v, "/api/v1/hosts", q)
		for _, h := range page.Hosts {
			if string(h.Name) == name {
				id = h.Id
				return "", err
			}
		}
		return page.NextPageToken, err
	})
	return id, err
}
