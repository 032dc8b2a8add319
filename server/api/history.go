package api

import (
	"context"
	"time"

	openapi_types "github.com/oapi-codegen/runtime/types"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

const (
	defaultHistory = 14 // days
	aDay           = 24 * time.Hour
)

// ListHistory tells what came of hosts' backups day by day, hosts by name.
func (h *Handlers) ListHistory(ctx context.Context, r ListHistoryRequestObject) (ListHistoryResponseObject, error) {
	days := int64(r.Params.Days)
	if days <= 0 {
		days = defaultHistory
	}
	to := fleet.DayOf(fleet.At(h.store.Now()))
	from := to - days + 1
	hosts, next, err := h.historyHosts(ctx, r.Params)
	if err != nil {
		return nil, err
	}
	ids := make([]fleet.HostID, len(hosts))
	for i := range hosts {
		ids[i] = hosts[i].ID
	}
	byHost, err := h.store.Days(ctx, ids, from, to)
	if err != nil {
		return nil, err
	}
	page := ListHistory200JSONResponse{From: dateOf(from), To: dateOf(to), Hosts: make([]HistoryHost, len(hosts)), NextPageToken: next}
	for i := range hosts {
		view := HistoryHost{
			HostId: string(hosts[i].ID), HostName: hosts[i].Name, Protection: toProtection(&hosts[i]), Days: []HistoryDay{},
		}
		for _, d := range byHost[hosts[i].ID] {
			view.Days = append(view.Days, toHistoryDay(d))
		}
		page.Hosts[i] = view
	}
	return page, nil
}

func (h *Handlers) historyHosts(ctx context.Context, p ListHistoryParams) ([]fleet.Host, string, error) {
	if p.HostId == "" {
		return h.store.Hosts(ctx, store.HostFilter{}, store.Page{Size: p.PageSize, Token: p.PageToken})
	}
	host, err := h.store.Host(ctx, fleet.HostID(p.HostId))
	if fleet.Is(err, fleet.NotFound) { // a filter that nothing passes
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return []fleet.Host{*host}, "", nil
}

func dateOf(day int64) openapi_types.Date {
	return openapi_types.Date{Time: time.Unix(0, 0).UTC().Add(time.Duration(day) * aDay)}
}

func toHistoryDay(d fleet.Day) HistoryDay {
	view := HistoryDay{
		Day: dateOf(d.Day), Succeeded: int(d.Succeeded), Warning: int(d.Warning), Failed: int(d.Failed), Missed: int(d.Missed),
		Skipped: int(d.Skipped), Other: int(d.Other), BytesAdded: d.BytesAdded,
	}
	switch {
	case d.Failed > 0 || d.Missed > 0:
		view.Worst = HistoryDayWorstBad
	case d.Warning > 0:
		view.Worst = HistoryDayWorstWarning
	case d.Succeeded > 0:
		view.Worst = HistoryDayWorstGood
	default:
		view.Worst = HistoryDayWorstNone
	}
	return view
}
