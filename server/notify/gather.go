package notify

import (
	"fmt"
	"strings"

	"restic-manager/server/fleet"
)

// gather makes one delivery of several notices that were held back or came at once;
// nil when there is nothing to gather. It stands for those that it names.
func gather(due []fleet.Delivery) (*fleet.Delivery, []fleet.DeliveryID) {
	var notices []fleet.Notice
	var ids []fleet.DeliveryID
	held := false
	for i := range due {
		d := &due[i]
		var p fleet.Parcel
		if d.Body.Read(&p) != nil || len(p.Notices) == 0 {
			continue
		}
		notices, ids = append(notices, p.Notices...), append(ids, d.ID)
		held = held || d.Held
	}
	if len(ids) < 2 || !held && len(ids) < gatherFrom {
		return nil, nil
	}
	const most = 200 // in the body; the text counts all
	subject, text := digest(notices)
	body, err := fleet.NewDoc(fleet.Parcel{Notices: notices[:min(len(notices), most)], Text: text})
	if err != nil {
		return nil, nil
	}
	return &fleet.Delivery{
		ID: fleet.NewID[fleet.DeliveryID](), ChannelID: due[0].ChannelID, Kind: fleet.DeliverDigest, State: fleet.DeliveryPending,
		Subject: subject, Body: body, CreatedAt: due[0].CreatedAt, NextAt: due[0].NextAt,
	}, ids
}

// digest is several notices as one message: what is open first, then what is over.
func digest(notices []fleet.Notice) (subject, text string) {
	last := map[fleet.AlertID]fleet.DeliveryKind{}
	for _, n := range notices {
		last[n.Alert] = n.Kind
	}
	open, over := 0, 0
	for _, kind := range last {
		if kind == fleet.DeliverResolved {
			over++
		} else {
			open++
		}
	}
	subject = fmt.Sprintf("%d alerts, %d over", open, over)
	if over == 0 {
		subject = fmt.Sprintf("%d alerts", open)
	}
	var b strings.Builder
	for _, severity := range []fleet.Severity{fleet.Critical, fleet.Warn, fleet.Info} {
		section(&b, severity.Word(), notices, func(n *fleet.Notice) bool {
			return n.Severity == severity && last[n.Alert] != fleet.DeliverResolved && n.Kind != fleet.DeliverResolved
		})
	}
	section(&b, "Over", notices, func(n *fleet.Notice) bool { return n.Kind == fleet.DeliverResolved })
	return subject, b.String()
}

const sectionLines = 40

func section(b *strings.Builder, title string, notices []fleet.Notice, holds func(*fleet.Notice) bool) {
	told := map[fleet.AlertID]bool{}
	n := 0
	for i := range notices {
		if !holds(&notices[i]) || told[notices[i].Alert] {
			continue
		}
		told[notices[i].Alert] = true
		if n == 0 {
			fmt.Fprintf(b, "%s\n", title)
		}
		if n++; n <= sectionLines {
			fmt.Fprintf(b, "- %s. %s\n", notices[i].Title, notices[i].Message)
		}
	}
	if n > sectionLines {
		fmt.Fprintf(b, "… and %d more\n", n-sectionLines)
	}
	if n > 0 {
		b.WriteByte('\n')
	}
}
