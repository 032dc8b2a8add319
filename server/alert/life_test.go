package alert_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"restic-manager/server/alert"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

const agentCloned = "agent_cloned"

func TestWhatFlapsIsNotTold(t *testing.T) {
	each(t, func(w *world) {
		h, c := w.host("web-1"), w.channel("c", "webhook", fleet.ChannelRoute{})
		for range 5 { // there in one evaluation, gone in the next
			w.hold(h, agentCloned, fleet.Critical, true)
			w.round(1)
			w.hold(h, agentCloned, fleet.Critical, false)
			w.round(1)
		}
		w.want("flapping", w.open(), "")
		w.hold(h, agentCloned, fleet.Critical, true)
		w.round(2)
		w.want("lasting", w.open(), "agent_cloned/critical/raised")
		for range 5 { // gone in one evaluation, back in the next
			w.hold(h, agentCloned, fleet.Critical, false)
			w.round(1)
			w.hold(h, agentCloned, fleet.Critical, true)
			w.round(1)
		}
		w.want("still lasting", w.open(), "agent_cloned/critical/raised")
		w.hold(h, agentCloned, fleet.Critical, false)
		w.round(2)
		w.want("over", w.open(), "")
		w.want("told", w.told(c), "raised resolved")
		if n := len(w.list(store.AlertFilter{Resolved: true})); n != 1 {
			t.Errorf("%d alerts in the history, want 1", n)
		}
	})
}

func TestTwoReplicasRaiseOneAlertAndTellOnce(t *testing.T) {
	each(t, func(w *world) {
		h, c := w.host("web-1"), w.channel("c", "webhook", fleet.ChannelRoute{})
		other := w.replica()
		w.hold(h, agentCloned, fleet.Critical, true)
		both := func() {
			w.pass(15 * time.Second)
			var all sync.WaitGroup
			for _, s := range []*alert.Service{w.alerts, other, w.alerts, other} {
				all.Go(func() {
					if err := s.Round(t.Context()); err != nil {
						t.Errorf("round: %v", err)
					}
				})
			}
			all.Wait()
			w.must(w.alerts.Round(t.Context()))
		}
		both()
		w.want("after one round of all", w.open(), "")
		both()
		both()
		w.want("after three rounds of all", w.open(), "agent_cloned/critical/raised")
		w.want("told", w.told(c), "raised")
	})
}

func TestRemindersStopWhenSomebodyLooksAfterIt(t *testing.T) {
	each(t, func(w *world) {
		h, c := w.host("web-1"), w.channel("c", "webhook", fleet.ChannelRoute{})
		w.hold(h, agentCloned, fleet.Warn, true)
		w.round(2)
		w.pass(25 * time.Hour)
		w.round(2)
		w.pass(25 * time.Hour)
		w.round(2)
		w.want("two days", w.told(c), "raised reminder reminder")
		id := w.list(store.AlertFilter{Open: true})[0].ID
		w.write(func(tx *store.Tx) error {
			_, err := w.alerts.Acknowledge(t.Context(), tx, id, "ana", "on it")
			return err
		})
		w.pass(72 * time.Hour)
		w.round(2)
		w.want("acknowledged", w.told(c), "raised reminder reminder")
		w.want("its state", w.open(), "agent_cloned/warning/acknowledged")
		w.hold(h, agentCloned, fleet.Critical, true) // it became worse
		w.round(1)
		w.want("worse", w.told(c), "raised reminder reminder raised")
		w.want("its state", w.open(), "agent_cloned/critical/raised")
	})
}

func TestASilenceHoldsUntilItsTime(t *testing.T) {
	each(t, func(w *world) {
		h, c := w.host("web-1"), w.channel("c", "webhook", fleet.ChannelRoute{})
		w.hold(h, agentCloned, fleet.Warn, true)
		w.round(2)
		id := w.list(store.AlertFilter{Open: true})[0].ID
		silence := func(d time.Duration) {
			w.write(func(tx *store.Tx) error {
				_, err := w.alerts.Silence(t.Context(), tx, id, tx.Now.Add(d), "")
				return err
			})
		}
		silence(48 * time.Hour)
		w.pass(47 * time.Hour)
		w.round(2)
		w.want("silenced", w.open()+" "+w.told(c), "agent_cloned/warning/silenced raised")
		w.pass(time.Hour)
		w.round(1)
		w.want("the silence is over", w.open()+" "+w.told(c), "agent_cloned/warning/raised raised reminder")
		silence(time.Hour)
		w.hold(h, agentCloned, fleet.Warn, false)
		w.round(2)
		w.want("over in silence", w.open()+" "+w.told(c), " raised reminder")
	})
}

func TestAnAlertClosedByHandComesBackWithAnotherFactAlone(t *testing.T) {
	each(t, func(w *world) {
		h := w.host("web-1")
		w.hold(h, agentCloned, fleet.Critical, true)
		w.round(2)
		id := w.list(store.AlertFilter{Open: true})[0].ID
		resolve := func() error {
			return w.store.Write(t.Context(), func(tx *store.Tx) error {
				_, err := w.alerts.Resolve(t.Context(), tx, id, "ana", "known")
				return err
			})
		}
		w.must(resolve())
		if err := resolve(); !fleet.Is(err, fleet.AlertIsResolved) {
			t.Errorf("closed twice: %v", err)
		}
		w.round(10)
		w.want("the same fact", w.open(), "")
		w.hold(h, agentCloned, fleet.Critical, false)
		w.round(1)
		w.hold(h, agentCloned, fleet.Critical, true)
		w.round(2)
		w.want("another fact", w.open(), "agent_cloned/critical/raised")
		closed := w.list(store.AlertFilter{Resolved: true})
		if len(closed) != 1 || closed[0].ResolvedBy != "ana" || closed[0].Note != "known" {
			t.Errorf("history %+v", closed)
		}
	})
}

func TestRoutesDecideWhoIsTold(t *testing.T) {
	each(t, func(w *world) {
		no := false
		web, db := w.host("web-1", "web", "prod"), w.host("db-1", "db")
		all := w.channel("all", "webhook", fleet.ChannelRoute{MinSeverity: fleet.Info})
		critical := w.channel("critical", "webhook", fleet.ChannelRoute{MinSeverity: fleet.Critical})
		tagged := w.channel("tagged", "webhook", fleet.ChannelRoute{Tags: []string{"db"}})
		brief := w.channel("brief", "webhook", fleet.ChannelRoute{Resolved: &no})
		hourly := w.channel("hourly", "webhook", fleet.ChannelRoute{Digest: "hourly"})
		daily := w.channel("daily", "webhook", fleet.ChannelRoute{Digest: "daily", At: "06:30", Zone: "Europe/Berlin"})
		quiet := w.channel("quiet", "webhook", fleet.ChannelRoute{Quiet: []fleet.Window{{From: "11:00", To: "07:00"}}})
		off := w.channel("off", "webhook", fleet.ChannelRoute{})
		ping := w.channel("ping", "ping", fleet.ChannelRoute{})
		w.write(func(tx *store.Tx) error {
			off.Enabled = false
			return tx.SaveChannel(t.Context(), off)
		})
		w.hold(web, "config_refused", fleet.Warn, true)
		w.round(2)
		w.hold(db, agentCloned, fleet.Critical, true)
		w.round(2)
		w.hold(web, "config_refused", fleet.Warn, false)
		w.hold(db, agentCloned, fleet.Critical, false)
		w.round(2)
		for _, c := range []struct {
			channel *fleet.Channel
			want    string
		}{
			{all, "raised raised resolved resolved"},
			{critical, "raised resolved"},
			{tagged, "raised resolved"},
			{brief, "raised raised"},
			{hourly, "raised@02 13:00 raised resolved resolved@02 13:00"},
			{daily, "raised@03 05:30 raised resolved resolved@03 05:30"},
			{quiet, "raised@03 07:00 raised resolved resolved@03 07:00"},
			{off, ""},
			{ping, ""},
		} {
			w.want(c.channel.Name, w.told(c.channel), c.want)
		}
		if n := len(w.list(store.AlertFilter{Resolved: true, Tag: "prod"})); n != 1 {
			t.Errorf("%d alerts of tag prod, want 1", n)
		}
		if n := len(w.list(store.AlertFilter{Resolved: true, Host: db.ID})); n != 1 {
			t.Errorf("%d alerts of db-1, want 1", n)
		}
	})
}

func TestAFailingChannelIsToldThroughTheOthers(t *testing.T) {
	each(t, func(w *world) {
		broken, works := w.channel("broken", "webhook", fleet.ChannelRoute{}), w.channel("works", "webhook", fleet.ChannelRoute{})
		note := func(since fleet.Time) {
			w.write(func(tx *store.Tx) error { return tx.NoteChannel(t.Context(), broken.ID, since, 0, 1) })
		}
		note(fleet.At(w.now()))
		w.round(4)
		w.want("for a minute", w.open(), "")
		w.pass(5 * time.Minute)
		w.round(2)
		w.want("for longer", w.open(), "notification_failing/warning/raised")
		w.want("the others", w.told(works), "raised")
		w.want("itself", w.told(broken), "")
		note(0)
		w.round(2)
		w.want("it works", w.open()+w.told(works), "raised resolved")
	})
}

func TestAnAlteredAuditLogIsCritical(t *testing.T) {
	each(t, func(w *world) {
		for range 3 {
			w.must(w.store.Update(t.Context(), fleet.Audit{Actor: "ana", Action: "test"}, func(*store.Tx) error { return nil }))
		}
		w.round(2)
		w.want("whole", w.open(), "")
		head, err := w.store.Meta(t.Context(), "audit_head")
		w.must(err)
		w.write(func(tx *store.Tx) error { return tx.SetMeta(t.Context(), "audit_head", "9 cut") })
		w.pass(2 * time.Minute)
		w.round(2)
		w.want("its end is gone", w.open(), "audit_broken/critical/raised")
		w.write(func(tx *store.Tx) error { return tx.SetMeta(t.Context(), "audit_head", head) })
		w.pass(2 * time.Minute)
		w.round(2)
		w.want("whole again", w.open(), "")
	})
}

func TestNothingIsJudgedRightAfterAnOutage(t *testing.T) {
	each(t, func(w *world) {
		h := w.host("web-1")
		w.hold(h, agentCloned, fleet.Critical, true)
		w.write(func(tx *store.Tx) error {
			return tx.SetMeta(t.Context(), "outages", `[{"from":1,"until":`+itoa(tx.Now)+`}]`)
		})
		w.round(16)
		w.want("four minutes later", w.open(), "")
		w.round(8)
		w.want("six minutes later", w.open(), "agent_cloned/critical/raised")
	})
}

func TestNothingIsJudgedRightAfterTheClockJumped(t *testing.T) {
	each(t, func(w *world) {
		h := w.host("web-1")
		w.hold(h, agentCloned, fleet.Critical, true)
		w.must(w.store.Beat(t.Context()))
		w.pass(time.Hour)
		w.must(w.store.Beat(t.Context()))
		w.round(16)
		w.want("four minutes later", w.open(), "")
		w.round(8)
		w.want("six minutes later", w.open(), "agent_cloned/critical/raised")
	})
}

func TestOldAlertsAreForgotten(t *testing.T) {
	each(t, func(w *world) {
		h := w.host("web-1")
		w.hold(h, agentCloned, fleet.Critical, true)
		w.round(2)
		w.hold(h, agentCloned, fleet.Critical, false)
		w.round(2)
		forget := func() {
			w.write(func(tx *store.Tx) error { return tx.ForgetAlerts(t.Context()) })
		}
		w.pass(399 * 24 * time.Hour)
		forget()
		if n := len(w.list(store.AlertFilter{Resolved: true})); n != 1 {
			t.Errorf("%d alerts after 399 days, want 1", n)
		}
		w.pass(2 * 24 * time.Hour)
		forget()
		if n := len(w.list(store.AlertFilter{Resolved: true})); n != 0 {
			t.Errorf("%d alerts after 401 days, want 0", n)
		}
	})
}

func TestOfOneSubjectOnlySoManyAlertsAreRemembered(t *testing.T) {
	each(t, func(w *world) {
		other := w.host("web-2")
		w.hold(other, agentCloned, fleet.Critical, true)
		w.round(2)
		w.hold(other, agentCloned, fleet.Critical, false)
		w.round(2)
		loud := w.host("web-1")
		const many = 1003
		w.write(func(tx *store.Tx) error {
			for i := range many {
				a := &fleet.Alert{
					ID: fleet.NewID[fleet.AlertID](), Key: fmt.Sprint("made_up/", i), Code: "made_up", SubjectType: fleet.ObjectHost, SubjectID: string(loud.ID),
					Severity: fleet.Warn, State: fleet.AlertResolved, Title: fmt.Sprint(i), RaisedAt: tx.Now, ResolvedAt: tx.Now + fleet.Time(i),
				}
				if _, err := tx.CreateAlert(t.Context(), a, nil); err != nil {
					return err
				}
			}
			return nil
		})
		w.write(func(tx *store.Tx) error { return tx.ForgetAlerts(t.Context()) })
		left := map[string]bool{}
		for token := ""; ; {
			list, next, err := w.store.Alerts(t.Context(), store.AlertFilter{Code: "made_up"}, store.Page{Size: 200, Token: token})
			w.must(err)
			for i := range list {
				left[list[i].Title] = true
			}
			if token = next; token == "" {
				break
			}
		}
		if len(left) != 1000 || left["2"] || !left["3"] {
			t.Errorf("%d are remembered, the third oldest among them %t; want the newest 1000", len(left), left["2"])
		}
		if n := len(w.list(store.AlertFilter{Resolved: true, Code: agentCloned})); n != 1 {
			t.Errorf("%d of the other host, want 1", n)
		}
	})
}
