package api

import (
	"context"

	"restic-manager/restic"
	"restic-manager/server/store"
)

// ListOperations lists every operation that a job can ask for, with its fields.
func (h *Handlers) ListOperations(context.Context, ListOperationsRequestObject) (ListOperationsResponseObject, error) {
	list := OperationList{Operations: []Operation{}}
	for _, op := range restic.Operations() {
		list.Operations = append(list.Operations, toOperation(op))
	}
	return ListOperations200JSONResponse(list), nil
}

// OperationTitle names an operation as people read it; one of a version that is gone has its
// own name.
func OperationTitle(name string) string { return restic.TitleOf(name) }

func toOperation(op restic.Operation) Operation {
	view := Operation{
		Name: op.Name, Group: OperationGroup(op.Group), Title: op.Title, Description: op.Description, Lock: OperationLock(op.Lock), Slot: OperationSlot(op.Slot),
		Deletes: op.Deletes, Confirm: op.Confirm, Anywhere: op.Anywhere,
		Fields: make([]OperationField, len(op.Fields)), Facts: toColumns(op.Facts), Rows: toColumns(op.Rows),
	}
	for _, p := range op.Places {
		view.Places = append(view.Places, OperationPlaces(p))
	}
	for i, f := range op.Fields {
		view.Fields[i] = OperationField{
			Name: f.Name, Label: f.Label, Help: f.Help, Type: string(f.Type), Required: f.Required, Pattern: f.Pattern,
			Min: f.Min, Max: f.Max, Unit: f.Unit, Default: f.Default, Rare: f.Rare,
		}
		for _, o := range f.Options {
			view.Fields[i].Options = append(view.Fields[i].Options, o.Value)
			view.Fields[i].Choices = append(view.Fields[i].Choices, FieldChoice{Value: o.Value, Label: o.Label})
		}
		for _, s := range f.From {
			view.Fields[i].From = append(view.Fields[i].From, FieldSource{Operation: s.Operation, Column: s.Column, Prefix: s.Prefix})
		}
	}
	return view
}

func toColumns(list []restic.Column) []OperationColumn {
	columns := make([]OperationColumn, len(list))
	for i, c := range list {
		columns[i] = OperationColumn{Name: c.Name, Label: c.Label, Type: string(c.Type)}
	}
	return columns
}

// ListAudit lists audit entries, newest first.
func (h *Handlers) ListAudit(ctx context.Context, r ListAuditRequestObject) (ListAuditResponseObject, error) {
	p := r.Params
	entries, next, err := h.store.AuditEntries(ctx,
		store.AuditFilter{Actor: p.Actor, Action: p.Action, ObjectID: p.ObjectId}, store.Page{Size: p.PageSize, Token: p.PageToken})
	if err != nil {
		return nil, err
	}
	page := AuditPage{Entries: make([]AuditEntry, len(entries)), NextPageToken: next}
	for i, e := range entries {
		page.Entries[i] = AuditEntry{
			Seq: e.Seq, At: e.At.Time(), Actor: e.Actor, Address: e.Address, Action: e.Action,
			ObjectType: e.ObjectType, ObjectId: e.ObjectID, ObjectName: e.ObjectName, Detail: e.Detail, RequestId: e.RequestID,
		}
	}
	return ListAudit200JSONResponse(page), nil
}
