package api

import (
	"context"
	"fmt"
	"time"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// ListAlerts lists alerts, open ones by severity, then newest first.
func (h *Handlers) ListAlerts(ctx context.Context, r ListAlertsRequestObject) (ListAlertsResponseObject, error) {
	p := r.Params
	f := store.AlertFilter{
		Severity: fleet.Severity(p.Severity), Code: p.Code, Host: fleet.HostID(p.HostId), Repository: fleet.RepositoryID(p.RepositoryId), Tag: p.Tag,
	}
	switch p.State {
	case ListAlertsParamsStateResolved:
		f.Resolved = true
	case ListAlertsParamsStateAll:
	default:
		f.Open = true
	}
	list, next, err := h.store.Alerts(ctx, f, store.Page{Size: p.PageSize, Token: p.PageToken})
	if err != nil {
		return nil, err
	}
	views := make([]Alert, len(list))
	for i := range list {
		if views[i], err = toAlert(&list[i]); err != nil {
			return nil, err
		}
	}
	return ListAlerts200JSONResponse{Alerts: views, NextPageToken: next}, nil
}

// ReadAlert reads an alert.
func (h *Handlers) ReadAlert(ctx context.Context, r ReadAlertRequestObject) (ReadAlertResponseObject, error) {
	a, err := h.store.Alert(ctx, fleet.AlertID(r.AlertId))
	if err != nil {
		return nil, err
	}
	view, err := toAlert(a)
	return ReadAlert200JSONResponse(view), err
}

// AcknowledgeAlert says that somebody looks after an alert.
func (h *Handlers) AcknowledgeAlert(ctx context.Context, r AcknowledgeAlertRequestObject) (AcknowledgeAlertResponseObject, error) {
	view, err := h.editAlert(ctx, r.AlertId, "alert.acknowledge", func(tx *store.Tx, id fleet.AlertID) (*fleet.Alert, error) {
		return h.alerts.Acknowledge(ctx, tx, id, tx.Audit.Actor, noteOf(r.Body))
	})
	return AcknowledgeAlert200JSONResponse(view), err
}

// SilenceAlert keeps an alert from being told until a time.
func (h *Handlers) SilenceAlert(ctx context.Context, r SilenceAlertRequestObject) (SilenceAlertResponseObject, error) {
	until := fleet.At(r.Body.Until)
	if until > fleet.At(h.store.Now()).Add(longestSilence) {
		return nil, fleet.Errorf(fleet.InvalidField, "An alert can be silenced for a year at most; choose an earlier time.").At("/until")
	}
	view, err := h.editAlert(ctx, r.AlertId, "alert.silence", func(tx *store.Tx, id fleet.AlertID) (*fleet.Alert, error) {
		tx.Audit.Detail = "until " + r.Body.Until.UTC().Format(time.RFC3339)
		return h.alerts.Silence(ctx, tx, id, until, r.Body.Note)
	})
	return SilenceAlert200JSONResponse(view), err
}

const longestSilence = 366 * 24 * time.Hour

// ResolveAlert closes an alert by hand.
func (h *Handlers) ResolveAlert(ctx context.Context, r ResolveAlertRequestObject) (ResolveAlertResponseObject, error) {
	view, err := h.editAlert(ctx, r.AlertId, "alert.resolve", func(tx *store.Tx, id fleet.AlertID) (*fleet.Alert, error) {
		return h.alerts.Resolve(ctx, tx, id, tx.Audit.Actor, noteOf(r.Body))
	})
	return ResolveAlert200JSONResponse(view), err
}

func noteOf(body *AlertNote) string {
	if body == nil {
		return ""
	}
	return body.Note
}

// editAlert makes an audited change of an alert and gives it as it is then.
func (h *Handlers) editAlert(ctx context.Context, id Id, action string, how func(*store.Tx, fleet.AlertID) (*fleet.Alert, error)) (Alert, error) {
	var a *fleet.Alert
	err := h.store.Update(ctx, auth.Audit(ctx, action), func(tx *store.Tx) (err error) {
		if a, err = how(tx, fleet.AlertID(id)); err == nil {
			about(tx, "alert", id, a.Title)
		}
		return err
	})
	if err != nil {
		return Alert{}, err
	}
	h.notify.Wake()
	return toAlert(a)
}

func toAlert(a *fleet.Alert) (Alert, error) {
	view := Alert{
		Id: string(a.ID), Code: a.Code, Severity: Severity(a.Severity), State: AlertState(a.State), Title: a.Title, Message: a.Message,
		NextStep: a.NextStep, Objects: []AlertObject{}, ObjectsTotal: a.ObjectsTotal,
		RaisedAt: a.RaisedAt.Time(), LastSeenAt: a.LastSeenAt.Time(), RemindedAt: a.RemindedAt.Time(),
		AcknowledgedAt: a.AckedAt.Time(), AcknowledgedBy: a.AckedBy, SilencedUntil: a.SilencedTo.Time(),
		ResolvedAt: a.ResolvedAt.Time(), ResolvedBy: a.ResolvedBy, Note: a.Note, Version: a.Version,
	}
	if a.ResolvedAt.IsZero() {
		view.GoneSince = a.GoneSince.Time()
	}
	var objects []fleet.AlertObject
	if err := a.Objects.Read(&objects); err != nil {
		return Alert{}, fmt.Errorf("read the objects of alert %s: %w", a.ID, err)
	}
	for _, o := range objects {
		since := o.Since
		if since.IsZero() {
			since = a.RaisedAt
		}
		view.Objects = append(view.Objects, AlertObject{
			ObjectType: AlertObjectObjectType(o.Type), ObjectId: o.ID, Name: o.Name, Message: o.Message, JobId: string(o.Job), Since: since.Time(),
		})
	}
	return view, nil
}
