package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const metaAlertRules = "alert_rules"

// AlertRules reads the rules of alerts; version 0 when nobody wrote any.
func (q Queries) AlertRules(ctx context.Context) (*fleet.AlertRules, error) {
	rules := storedRules{AlertRules: fleet.AlertRules{RemindAfter: 86400}}
	text, err := q.Meta(ctx, metaAlertRules)
	if fleet.Is(err, fleet.NotFound) {
		return &rules.AlertRules, nil
	}
	if err != nil {
		return nil, err
	}
	if err := fleet.Doc(text).Read(&rules); err != nil {
		return nil, fmt.Errorf("read the rules of alerts: %w", err)
	}
	rules.AlertRules.Version = rules.Number
	return &rules.AlertRules, nil
}

type storedRules struct {
	fleet.AlertRules
	Number int64 `json:"version"`
}

// ReplaceAlertRules writes the rules; r.Version is the one that was read and is
// raised. VersionConflict when somebody else was faster.
func (tx *Tx) ReplaceAlertRules(ctx context.Context, r *fleet.AlertRules) error {
	if _, err := tx.AddMeta(ctx, metaAlertRules, `{"remind_after_s":86400,"version":0}`); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE meta SET value = value WHERE key = ?`, metaAlertRules); err != nil {
		return err
	}
	before, err := tx.AlertRules(ctx)
	if err != nil {
		return err
	}
	if before.Version != r.Version {
		return fleet.Errorf(fleet.VersionConflict, "Somebody changed the rules meanwhile (they are at version %d): read them again and repeat your change.",
			before.Version).At("if_version")
	}
	r.Version++
	doc, err := fleet.NewDoc(storedRules{*r, r.Version})
	if err != nil {
		return err
	}
	tx.Touch(fleet.TopicAlerts, "rules")
	return tx.SetMeta(ctx, metaAlertRules, string(doc))
}
