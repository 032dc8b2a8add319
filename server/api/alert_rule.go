package api

import (
	"context"
	"fmt"

	"restic-manager/server/alert"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// ReadAlertRules reads what raises alerts and from which threshold on.
func (h *Handlers) ReadAlertRules(ctx context.Context, _ ReadAlertRulesRequestObject) (ReadAlertRulesResponseObject, error) {
	rules, err := h.store.AlertRules(ctx)
	if err != nil {
		return nil, err
	}
	return ReadAlertRules200JSONResponse(toAlertRules(rules)), nil
}

// ReplaceAlertRules replaces all rules at once.
func (h *Handlers) ReplaceAlertRules(ctx context.Context, r ReplaceAlertRulesRequestObject) (ReplaceAlertRulesResponseObject, error) {
	rules := &fleet.AlertRules{RemindAfter: 86400, Version: r.Params.IfVersion}
	if r.Body.RemindAfterS != nil {
		rules.RemindAfter = int64(*r.Body.RemindAfterS)
	}
	for _, rule := range r.Body.Rules {
		rules.Rules = append(rules.Rules, fleet.AlertRule{
			Scope: string(rule.Scope), Tag: rule.Tag, Host: fleet.HostID(rule.HostId), Code: rule.Code,
			Enabled: rule.Enabled, Severity: fleet.Severity(rule.Severity), Threshold: rule.Threshold,
		})
	}
	if err := alert.CheckRules(rules); err != nil {
		return nil, err
	}
	err := h.store.Update(ctx, auth.Audit(ctx, "alert_rules.update"), func(tx *store.Tx) error {
		if rules.Version == 0 { // the caller did not say which it has seen
			before, err := tx.AlertRules(ctx)
			if err != nil {
				return err
			}
			rules.Version = before.Version
		}
		about(tx, "alert_rules", "", "")
		tx.Audit.Detail = fmt.Sprintf("%d rules; remind after %d s", len(rules.Rules), rules.RemindAfter)
		return tx.ReplaceAlertRules(ctx, rules)
	})
	if err != nil {
		return nil, err
	}
	return ReplaceAlertRules200JSONResponse(toAlertRules(rules)), nil
}

func toAlertRules(r *fleet.AlertRules) AlertRules {
	view := AlertRules{Kinds: []AlertKind{}, Rules: []AlertRule{}, RemindAfterS: int(r.RemindAfter), Version: r.Version}
	for _, k := range alert.Kinds {
		view.Kinds = append(view.Kinds, AlertKind{
			Code: k.Code, Title: k.Title, Description: k.Description, Severity: Severity(k.Severity), Unit: k.Unit, Threshold: k.Threshold,
		})
	}
	for _, rule := range r.Rules {
		view.Rules = append(view.Rules, AlertRule{
			Scope: AlertRuleScope(rule.Scope), Tag: rule.Tag, HostId: string(rule.Host), Code: rule.Code,
			Enabled: rule.Enabled, Severity: Severity(rule.Severity), Threshold: rule.Threshold,
		})
	}
	return view
}
