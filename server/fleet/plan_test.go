package fleet_test

import (
	"testing"
	"time"

	"restic-manager/server/fleet"
)

func TestTheDefaultPlanOfEveryRepositoryIsOne(t *testing.T) {
	hours := map[string]bool{}
	now := fleet.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	for range 200 {
		p := fleet.DefaultPlan(fleet.NewID[fleet.RepositoryID]())
		if err := p.Wrong(); err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		if got := p.Parts(now); got != 28 {
			t.Errorf("%+v reads the data in %d parts", p, got)
		}
		hours[p.Prune] = true
	}
	if len(hours) < 100 {
		t.Errorf("200 repositories are pruned at %d times", len(hours))
	}
}

func TestWrongPlansAreNamedByTheirField(t *testing.T) {
	for field, p := range map[string]fleet.MaintenancePlan{
		"/zone":        {Zone: "Mars/Olympus", Prune: "0 5 * * 0"},
		"/retention":   {Retention: "x"},
		"/prune":       {Prune: "0 5 31 2 *"},
		"/check":       {Check: "@daily"},
		"/check_parts": {CheckParts: 400},
	} {
		var fields fleet.Fields
		if e, ok := p.Wrong().(fleet.Fields); ok {
			fields = e
		}
		if len(fields) != 1 || fields[0].Field != field {
			t.Errorf("%+v: %v, want one mistake at %s", p, p.Wrong(), field)
		}
	}
}

func TestAPlanGoesByItsZone(t *testing.T) {
	p := fleet.MaintenancePlan{Zone: "Europe/Paris", Prune: "30 2 * * *"}
	before := fleet.At(time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC))
	want := time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC) // 02:30 is not there; the first moment after the gap
	if got := p.After(p.Prune, before).Time(); !got.Equal(want) && !got.Equal(want.Add(30*time.Minute)) {
		t.Errorf("got %s", got)
	}
	if got := p.After("", before); got != 0 {
		t.Errorf("an empty cron fires at %s", got.Time())
	}
}

func TestChecksReadAllPartsInTurn(t *testing.T) {
	var h fleet.RepositoryHealth
	now := fleet.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	for day := range 60 {
		at := now.Add(time.Duration(day) * 24 * time.Hour)
		part := h.NextPart(28)
		if want := day%28 + 1; part != want {
			t.Fatalf("on day %d part %d is read, want %d", day, part, want)
		}
		h.NoteRead(part, 28, at)
		if want := min(1, float64(day+1)/28); h.ReadShare != want {
			t.Fatalf("on day %d %f was read, want %f", day, h.ReadShare, want)
		}
	}
	if got := h.ShareRead(now.Add(200 * 24 * time.Hour)); got != 0 {
		t.Errorf("long after the last check %f was read lately", got)
	}
	h.NoteRead(1, 1, now.Add(90*24*time.Hour))
	if h.ReadShare != 1 {
		t.Errorf("after everything was read: %f", h.ReadShare)
	}
	h.NoteRead(3, 2, now)
	h.NoteRead(1, 0, now)
	if len(h.Reads) > 60 {
		t.Errorf("%d parts are kept", len(h.Reads))
	}
}

func TestGrowthIsTheMedianOfDays(t *testing.T) {
	day := func(n, stored int64) fleet.RepositoryDay { return fleet.RepositoryDay{Day: n, StoredBytes: stored} }
	for _, c := range []struct {
		days []fleet.RepositoryDay
		want int64
	}{
		{nil, 0},
		{[]fleet.RepositoryDay{day(1, 100)}, 0},
		{[]fleet.RepositoryDay{day(1, 100), day(2, 110), day(4, 130), day(5, 20), day(6, 30)}, 10}, // a prune in between
		{[]fleet.RepositoryDay{day(1, 0), day(2, 10), day(3, 30)}, 15},
	} {
		if got := fleet.Growth(c.days); got != c.want {
			t.Errorf("%+v: got %d, want %d", c.days, got, c.want)
		}
	}
	at := fleet.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	h := fleet.RepositoryHealth{MeasuredAt: at, GrowthPerDay: 10, FreeBytes: 25, TotalBytes: 1000}
	if got, want := h.FullAt(), at.Add(60*time.Hour); got != want {
		t.Errorf("full at %s, want %s", got.Time(), want.Time())
	}
	h.GrowthPerDay = -1
	if h.FullAt() != 0 {
		t.Error("a repository that shrinks is full some day")
	}
}
