package notify

import (
	"context"
	"fmt"
	"html/template"
	"strings"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// reportAlerts is how many open alerts a report names.
const reportAlerts = 30

// facts is what a report says.
type facts struct {
	From, To   string
	Protection []count
	Jobs       []count
	Alerts     []fleet.Alert
	More       int // alerts that are not named
	Total      int // hosts
	Link       string
}

type count struct {
	N    int
	What string
}

// report says how protected the fleet is, what needs attention and what ran since a
// moment.
func (s *Service) report(ctx context.Context, from fleet.Time, route *fleet.ChannelRoute) (string, fleet.Parcel, error) {
	f := facts{Link: s.PublicURL}
	var sums *store.FleetSums
	var ran map[fleet.Result]int
	err := s.Store.View(ctx, func(q store.Queries) (err error) {
		if sums, err = q.FleetSums(ctx); err != nil {
			return err
		}
		if ran, err = q.JobsFinishedSince(ctx, from); err != nil {
			return err
		}
		f.Alerts, _, err = q.Alerts(ctx, store.AlertFilter{Open: true}, store.Page{Size: reportAlerts})
		return err
	})
	if err != nil {
		return "", fleet.Parcel{}, err
	}
	loc, err := time.LoadLocation(route.Zone)
	if err != nil {
		loc = time.UTC
	}
	f.From, f.To = from.Time().In(loc).Format("2006-01-02 15:04"), s.Store.Now().In(loc).Format("2006-01-02 15:04 MST")
	for _, p := range []struct {
		state fleet.ProtectionState
		what  string
	}{
		{fleet.Protected, "protected"}, {fleet.Asleep, "asleep"}, {fleet.AtRisk, "at risk"}, {fleet.Unprotected, "unprotected"},
		{fleet.NeverBacked, "never backed up"}, {fleet.NotScheduled, "not scheduled"},
	} {
		f.Total += sums.Protection[p.state]
		if n := sums.Protection[p.state]; n > 0 || p.state == fleet.Protected {
			f.Protection = append(f.Protection, count{n, p.what})
		}
	}
	for _, r := range fleet.Results {
		if n := ran[r]; n > 0 {
			f.Jobs = append(f.Jobs, count{n, string(r)})
		}
	}
	open := 0
	for _, n := range sums.Alerts {
		open += n
	}
	f.More = open - len(f.Alerts)
	subject := fmt.Sprintf("%d of %d hosts protected, %d alerts", sums.Protection[fleet.Protected], f.Total, open)
	var html strings.Builder
	if err := reportHTML.Execute(&html, f); err != nil {
		return "", fleet.Parcel{}, err
	}
	return subject, fleet.Parcel{Text: f.text(), HTML: html.String()}, nil
}

func (f *facts) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "From %s to %s\n\nHosts\n", f.From, f.To)
	for _, c := range f.Protection {
		fmt.Fprintf(&b, "- %d %s\n", c.N, c.What)
	}
	b.WriteString("\nNeeds attention\n")
	if len(f.Alerts) == 0 {
		b.WriteString("- nothing\n")
	}
	for i := range f.Alerts {
		fmt.Fprintf(&b, "- %s: %s. %s\n", f.Alerts[i].Severity.Word(), f.Alerts[i].Title, f.Alerts[i].Message)
	}
	if f.More > 0 {
		fmt.Fprintf(&b, "… and %d more\n", f.More)
	}
	b.WriteString("\nJobs that ended\n")
	if len(f.Jobs) == 0 {
		b.WriteString("- none\n")
	}
	for _, c := range f.Jobs {
		fmt.Fprintf(&b, "- %d %s\n", c.N, c.What)
	}
	return b.String()
}

var reportHTML = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><body style="font-family:sans-serif">
<p>From {{.From}} to {{.To}}</p>
<h2>Hosts</h2>
<table>{{range .Protection}}<tr><td align="right">{{.N}}</td><td>{{.What}}</td></tr>{{end}}</table>
<h2>Needs attention</h2>
{{if .Alerts}}<ul>{{range .Alerts}}<li><b>{{.Severity.Word}}: {{.Title}}</b><br>{{.Message}}</li>{{end}}</ul>{{else}}<p>Nothing.</p>{{end}}
{{if gt .More 0}}<p>… and {{.More}} more</p>{{end}}
<h2>Jobs that ended</h2>
{{if .Jobs}}<table>{{range .Jobs}}<tr><td align="right">{{.N}}</td><td>{{.What}}</td></tr>{{end}}</table>{{else}}<p>None.</p>{{end}}
{{if .Link}}<p><a href="{{.Link}}">{{.Link}}</a></p>{{end}}
</body></html>
`))
