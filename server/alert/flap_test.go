package alert_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// TestAnAgentThatInventsTroubleTellsItAFewTimesAnHour has one host's conditions change
// each minute for hours, in each way that an agent could have them change.
func TestAnAgentThatInventsTroubleTellsItAFewTimesAnHour(t *testing.T) {
	const minutes = 150
	known := []string{"journal_failed", "spool_damaged", "records_rejected", "command_malformed", "secret_store_problem", "config_not_saved"}
	for name, change := range map[string]func(w *world, h *fleet.Host, minute int){
		"a code of its own each minute": func(w *world, h *fleet.Host, minute int) {
			w.hold(h, fmt.Sprintf("made_up_%d", minute), fleet.Warn, true)
			w.hold(h, fmt.Sprintf("made_up_%d", minute-1), fleet.Warn, false)
		},
		"a code that comes and goes": func(w *world, h *fleet.Host, minute int) {
			w.hold(h, "made_up", fleet.Warn, minute%2 == 0)
		},
		"a known code that comes and goes": func(w *world, h *fleet.Host, minute int) {
			w.hold(h, "journal_failed", fleet.Warn, minute%2 == 0)
		},
		"known codes by turns": func(w *world, h *fleet.Host, minute int) {
			for i, code := range known {
				w.hold(h, code, fleet.Warn, i == minute%len(known))
			}
		},
		"a code that becomes worse again and again": func(w *world, h *fleet.Host, minute int) {
			w.hold(h, "made_up", []fleet.Severity{fleet.Warn, fleet.Critical}[minute%2], true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := lite(t)
			h, c := w.host("web-1"), w.channel("c", "webhook", fleet.ChannelRoute{})
			for minute := range minutes {
				change(w, h, minute)
				w.round(4)
			}
			told := strings.Fields(w.told(c))
			if most := 12 + 2*minutes/60; len(told) == 0 || len(told) > most {
				t.Errorf("%d messages in %d minutes, at most %d are borne: %s", len(told), minutes, most, told)
			}
			if open := w.open(); open == "" {
				t.Error("what comes and goes is not said to be there")
			}
		})
	}
}

// TestWhatCameAndWentOftenIsOverAnHourAfterTheLastTime and is told then.
func TestWhatCameAndWentOftenIsOverAnHourAfterTheLastTime(t *testing.T) {
	each(t, func(w *world) {
		h, c := w.host("web-1"), w.channel("c", "webhook", fleet.ChannelRoute{})
		for range 5 {
			w.hold(h, "journal_failed", fleet.Warn, true)
			w.round(2)
			w.hold(h, "journal_failed", fleet.Warn, false)
			w.round(2)
		}
		w.want("after five times", w.told(c), "raised resolved raised resolved raised")
		w.want("it stays open", w.open(), "journal_failed/warning/raised")
		away := w.list(store.AlertFilter{Open: true})[0]
		if away.GoneSince <= away.LastSeenAt {
			w.Errorf("it was last seen at %s, and is gone since %s", away.LastSeenAt.Time(), away.GoneSince.Time())
		}
		w.hold(h, "journal_failed", fleet.Warn, true)
		w.round(1)
		if back := w.list(store.AlertFilter{Open: true})[0]; back.GoneSince != 0 || back.Version == away.Version {
			w.Errorf("it is back, and gone since %s, in version %d after %d", back.GoneSince.Time(), back.Version, away.Version)
		}
		w.hold(h, "journal_failed", fleet.Warn, false)
		w.round(1)
		w.pass(time.Hour)
		w.round(1)
		w.want("an hour later", w.told(c), "raised resolved raised resolved raised resolved")
		w.want("it is over", w.open(), "")
		w.hold(h, "journal_failed", fleet.Warn, true)
		w.round(2)
		w.hold(h, "journal_failed", fleet.Warn, false)
		w.round(2)
		w.want("once more, much later", w.told(c), "raised resolved raised resolved raised resolved raised resolved")
	})
}

// TestCodesThatAreNotKnownAreOneAlertOfTheirHost with what they say.
func TestCodesThatAreNotKnownAreOneAlertOfTheirHost(t *testing.T) {
	w := lite(t)
	h, other := w.host("web-1"), w.host("web-2")
	for _, code := range []string{"a_newer_agents", "b_too", "c_as_well", "d_and_this"} {
		w.hold(h, code, fleet.Warn, true)
	}
	w.hold(h, "journal_failed", fleet.Warn, true)
	w.hold(other, "policy_newer", fleet.Critical, true)
	w.round(2)
	w.want("open", w.open(), "host_trouble/critical/raised journal_failed/warning/raised host_trouble/warning/raised")
}
