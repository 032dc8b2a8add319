package schedule

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
	"restic-manager/agent/slot"
	"restic-manager/agent/spool"
)

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestEachSlotGetsItsOneJob(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, every(t, "0 */8 * * *"))
		time.Sleep(24*time.Hour + 2*time.Minute)
		want(t, "jobs", h.jobs(), "01-01 08:00 schedule succeeded", "01-01 16:00 schedule succeeded", "01-02 00:00 schedule succeeded")
		id := slot.JobID(scheduleA, time.Date(2000, 1, 1, 8, 0, 0, 0, time.UTC)).String()
		job, err := h.spool.Job(id)
		if err != nil || job.ScheduleVersion != 1 || job.RepositoryID == "" || job.OpenedAt.Sub(job.Slot) > time.Second {
			t.Errorf("got %+v, %v", job, err)
		}
		want(t, "absences", h.absences())
	})
}

// TestAHostThatWasOffForTwoDaysCatchesUpOnce is off for 48 slots.
func TestAHostThatWasOffForTwoDaysCatchesUpOnce(t *testing.T) {
	hourly := every(t, "0 * * * *")
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, hourly)
		time.Sleep(90 * time.Minute)
		h.deliver()
		h.off(48*time.Hour, hourly)
		time.Sleep(10 * time.Minute)
		want(t, "jobs", h.jobs(), "01-03 01:00 catch-up succeeded")
		want(t, "absences", h.absences(), "off 01-01 01:30 to 01-03 01:31")
		want(t, "claims before the server heard of it", h.claims(), "01-01 00:00:00 to 01-03 00:59:59")
		h.deliver()
		want(t, "claims", h.claims(), "01-01 00:00:00 to 01-03 01:00:00")
		time.Sleep(time.Hour)
		want(t, "jobs from then on", h.jobs(), "01-03 02:00 schedule succeeded")
	})
}

func TestAScheduleThatSkipsDoesNotCatchUp(t *testing.T) {
	hourly := every(t, "0 * * * *")
	hourly.CatchUp = false
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, hourly)
		h.off(48*time.Hour+30*time.Minute, hourly)
		want(t, "jobs", h.jobs())
		want(t, "claims", h.claims(), "01-01 00:00:00 to 01-03 00:00:00")
		h.off(30*time.Minute, hourly) // back a minute after a slot, which is not late
		time.Sleep(2 * time.Minute)
		want(t, "jobs", h.jobs(), "01-03 01:00 schedule succeeded")
	})
}

// TestAMillionMissedSlotsCostNoMoreThanOne counts the writes.
func TestAMillionMissedSlotsCostNoMoreThanOne(t *testing.T) {
	minutely := every(t, "* * * * *")
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, minutely)
		h.end()
		h.set(func(h *host) { h.moved, h.boot, h.steps = 2*365*24*time.Hour+10*time.Minute+30*time.Second, "later", 0 })
		h.begin(minutely)
		synctest.Wait()
		want(t, "jobs", h.jobs(), "12-31 00:11 schedule")
		if h.steps > 20 {
			t.Errorf("%d writes", h.steps)
		}
	})
}

func TestASlotIsSkippedWhileTheRunBeforeIt(t *testing.T) {
	t.Run("runs", func(t *testing.T) {
		inVirtualTime(t, func(t *testing.T, h *host) {
			h.set(func(h *host) { h.takes = 90 * time.Minute })
			h.configure(1, every(t, "0 * * * *"))
			time.Sleep(5*time.Hour + 2*time.Minute)
			want(t, "jobs", h.jobs(), "01-01 01:00 schedule succeeded", "01-01 02:00 schedule skipped",
				"01-01 03:00 schedule succeeded", "01-01 04:00 schedule skipped", "01-01 05:00 schedule")
		})
	})
	t.Run("waits", func(t *testing.T) {
		inVirtualTime(t, func(t *testing.T, h *host) {
			ahead := control.Command{
				Seq: 1, Id: "0198f1c2-7e9a-7c3e-9b1f-2f6d0a4b8c33", Kind: "run", JobId: "0198f1c2-7e9a-7c3e-9b1f-2f6d0a4b8c44", Epoch: 1,
				Operation: "backup", Trigger: "run-now", Params: []byte(`{"schedule_id":"` + scheduleA.String() + `"}`),
			}
			if _, err := h.spool.Journal(t.Context(), []control.Command{ahead}, h.now()); err != nil {
				t.Fatal(err)
			}
			if err := h.spool.Wait(t.Context(), ahead.JobId, "its turn"); err != nil {
				t.Fatal(err)
			}
			h.configure(1, every(t, "0 * * * *"))
			time.Sleep(time.Hour + time.Second)
			job, err := h.spool.Job(slot.JobID(scheduleA, time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)).String())
			if err != nil || job.Result != spool.Skipped {
				t.Errorf("got %+v, %v", job, err)
			}
		})
	})
}

// TestARunThatTheAgentDiedUnderIsInNobodysWay is a crash: the run will not go on.
func TestARunThatTheAgentDiedUnderIsInNobodysWay(t *testing.T) {
	hourly := every(t, "0 * * * *")
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.set(func(h *host) { h.takes = 30 * time.Minute })
		h.configure(1, hourly)
		time.Sleep(time.Hour + time.Minute)
		h.stop()
		_ = h.spool.Close() // with the run under way
		time.Sleep(24 * time.Hour)
		h.begin(hourly)
		time.Sleep(40 * time.Minute)
		want(t, "jobs", h.jobs(), "01-01 01:00 schedule", "01-02 01:00 schedule succeeded")
	})
}

func TestTheClock(t *testing.T) {
	tests := []struct {
		name     string
		change   func(*host)
		jobs     []string // after the slot of one o'clock, within an hour and a half of the wall's time
		absences []string
	}{
		{"goes on", func(*host) {}, []string{"01-01 02:00 schedule succeeded"}, nil},
		{"stands still while the machine sleeps", func(h *host) { h.moved, h.slept = 8*time.Hour, 8*time.Hour },
			[]string{"01-01 09:00 catch-up succeeded", "01-01 10:00 schedule succeeded"}, []string{"asleep 01-01 01:05 to 01-01 09:05"}},
		{"is put forward", func(h *host) { h.moved = 8 * time.Hour },
			[]string{"01-01 09:00 catch-up succeeded", "01-01 10:00 schedule succeeded"}, []string{"clock 01-01 01:05 to 01-01 09:05"}},
		{"is put forward a little", func(h *host) { h.moved = 30 * time.Second }, []string{"01-01 02:00 schedule succeeded"}, nil},
		{"is put back a little", func(h *host) { h.moved = -5 * time.Minute }, []string{"01-01 02:00 schedule succeeded"}, nil},
		{"is put back behind the slot", func(h *host) { h.moved = -15 * time.Minute }, []string{"01-01 02:00 schedule succeeded"}, nil},
		{"is put back by a day, to slots that had no job", func(h *host) { h.moved = -24 * time.Hour },
			[]string{"12-31 02:00 schedule succeeded"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, h *host) {
				h.configure(1, every(t, "0 * * * *"))
				time.Sleep(time.Hour + 5*time.Minute)
				h.deliver()
				want(t, "the first is reported", h.jobs())
				h.set(test.change)
				time.Sleep(85 * time.Minute)
				want(t, "jobs", h.jobs(), test.jobs...)
				want(t, "absences", h.absences(), test.absences...)
			})
		})
	}
}

// TestAClockThatWasFarAheadDoesNotStopTheSchedule boots in a wrong year.
func TestAClockThatWasFarAheadDoesNotStopTheSchedule(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, every(t, "0 * * * *"))
		time.Sleep(3*time.Hour + 5*time.Minute)
		h.set(func(h *host) { h.moved = 4 * 365 * 24 * time.Hour })
		time.Sleep(time.Hour)
		h.deliver()
		h.set(func(h *host) { h.moved = -2 * time.Hour }) // 02:05 again, true is 04:05
		time.Sleep(time.Hour)
		want(t, "jobs of the hours that had theirs", h.jobs())
		time.Sleep(time.Hour)
		want(t, "jobs", h.jobs(), "01-01 04:00 schedule succeeded")
	})
}

// TestWhatAClockJumpedOverIsKnownWhenItIsPutBack is about a clock that goes a day ahead and
// comes back half an hour later, in one life of the agent or between two.
func TestWhatAClockJumpedOverIsKnownWhenItIsPutBack(t *testing.T) {
	for name, back := range map[string]func(*host){
		"while the agent runs": func(h *host) { h.set(func(h *host) { h.moved = 0 }) },
		"while it does not": func(h *host) {
			h.end()
			h.set(func(h *host) { h.moved = 0 })
			h.begin(every(t, "0 * * * *"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, h *host) {
				h.set(func(h *host) { h.takes = time.Second })
				h.configure(1, every(t, "0 * * * *"))
				time.Sleep(65*time.Minute + 10*time.Second)
				h.set(func(h *host) { h.moved, h.slept = 26*time.Hour, 26*time.Hour })
				time.Sleep(70 * time.Minute) // over the true slot of 02:00
				want(t, "absences while it is ahead", h.absences(), "asleep 01-01 01:05 to 01-02 03:05")
				back(h)
				time.Sleep(time.Minute)
				want(t, "absences afterwards", h.absences(), "clock 01-01 01:05 to 01-01 02:15")
			})
		})
	}
}

// TestTheSlotAtWhichTheClockWasPutBackFires finds the clock on the slot, or just past it.
func TestTheSlotAtWhichTheClockWasPutBackFires(t *testing.T) {
	for _, past := range []time.Duration{0, 5 * time.Second} {
		inVirtualTime(t, func(t *testing.T, h *host) {
			h.set(func(h *host) { h.moved = 26 * time.Hour })
			h.configure(1, every(t, "*/10 * * * *"))
			time.Sleep(19*time.Minute + 59*time.Second)
			h.deliver()
			h.set(func(h *host) { h.moved = -10*time.Minute + past })
			time.Sleep(2 * time.Minute)
			want(t, "jobs", h.jobs(), "01-01 00:10 schedule succeeded")
		})
	}
}

func TestWhileThePolicyLocksNothingFires(t *testing.T) {
	hourly := every(t, "0 * * * *")
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, hourly)
		time.Sleep(90 * time.Minute)
		h.deliver()
		h.set(func(h *host) { h.locked = true })
		time.Sleep(24 * time.Hour)
		want(t, "jobs", h.jobs())
		want(t, "claims", h.claims(), "01-01 00:00:00 to 01-02 00:59:59")
		want(t, "absences", h.absences(), "locked 01-01 01:30 to 01-02 01:00")
		h.set(func(h *host) { h.locked = false })
		time.Sleep(10 * time.Minute)
		want(t, "jobs", h.jobs(), "01-02 01:00 catch-up succeeded")
		want(t, "absences", h.absences(), "locked 01-01 01:30 to 01-02 01:30")
	})
}

func TestOtherTimesBeginWhenTheyComeInForce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, every(t, "0 12 * * *"))
		time.Sleep(13 * time.Hour)
		h.deliver()

		renamed := every(t, "0 12 * * *")
		renamed.Version = 2
		h.configure(2, renamed)
		want(t, "claims after an edit of something else", h.claims(), "01-01 00:00:00 to 01-01 12:00:00")

		h.configure(3, every(t, "0 6 * * *")) // at one: today's six o'clock is not caught up
		want(t, "claims after other times", h.claims(), "01-01 13:00:00 to 01-01 13:00:00")
		time.Sleep(16 * time.Hour)
		want(t, "jobs", h.jobs())

		h.configure(4) // disabled
		want(t, "claims of nothing", h.claims())
		time.Sleep(24 * time.Hour)
		h.configure(5, every(t, "0 6 * * *"))
		time.Sleep(30 * time.Minute)
		want(t, "jobs of the days it was disabled", h.jobs())
		time.Sleep(time.Hour)
		want(t, "jobs", h.jobs(), "01-03 06:00 schedule succeeded")
	})
}

// TestTheTimesOfAConfigurationThatWasJustSavedAreNotLost dies between saving another
// configuration and using it.
func TestTheTimesOfAConfigurationThatWasJustSavedAreNotLost(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, every(t, "0 12 * * *"))
		time.Sleep(time.Hour)
		saved := h.now()
		h.end()
		time.Sleep(5 * time.Hour)
		h.begin()
		if got := h.s.Revision(); got != 1 {
			t.Fatalf("revision %d", got)
		}
		h.s.Configure(2, saved, []Entry{every(t, "0 3 * * *")})
		time.Sleep(2 * time.Minute)
		want(t, "jobs", h.jobs(), "01-01 03:00 catch-up succeeded")
	})
}

func TestClaimsStopBeforeWhatTheServerHasNotHeardOf(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, every(t, "0 * * * *"))
		time.Sleep(3*time.Hour + time.Minute)
		want(t, "claims", h.claims(), "01-01 00:00:00 to 01-01 00:59:59")
		h.deliver()
		want(t, "claims", h.claims(), "01-01 00:00:00 to 01-01 03:00:00")
	})
}

// TestAServerThatWasSetBackIsNotToldOfWhatItLost has it forget its jobs.
func TestAServerThatWasSetBackIsNotToldOfWhatItLost(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, every(t, "0 * * * *"))
		h.s.Met("a")
		time.Sleep(3*time.Hour + time.Minute)
		h.deliver()
		h.s.Met("a")
		want(t, "claims", h.claims(), "01-01 00:00:00 to 01-01 03:00:00")
		h.s.Met("b")
		want(t, "claims", h.claims(), "01-01 03:00:00 to 01-01 03:00:00")
	})
}

func TestAShortStopOfTheAgentIsNoAbsence(t *testing.T) {
	hourly := every(t, "0 * * * *")
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, hourly)
		time.Sleep(30 * time.Minute)
		h.set(func(h *host) { h.takes = 0 })
		h.end()
		time.Sleep(30 * time.Second)
		h.begin(hourly)
		want(t, "absences", h.absences())
		h.end()
		time.Sleep(10 * time.Minute)
		h.begin(hourly)
		want(t, "absences", h.absences(), "stopped 01-01 00:30 to 01-01 00:40")
	})
}

func TestOnlyTheLastAbsencesAreKept(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, h *host) {
		for range 60 {
			h.set(func(h *host) { h.moved += time.Hour; h.slept += time.Hour })
			time.Sleep(time.Minute)
		}
		if n := len(h.absences()); n != absencesKept {
			t.Errorf("%d absences", n)
		}
		h.off(absencesFor)
		if got := h.absences(); len(got) != 1 {
			t.Errorf("after a month: %q", got)
		}
	})
}

// TestAThousandSlotsWaitForTheServerInOrder is a week of every ten minutes.
func TestAThousandSlotsWaitForTheServerInOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("keeps a thousand slots, one after the other")
	}
	inVirtualTime(t, func(t *testing.T, h *host) {
		h.configure(1, every(t, "*/10 * * * *"))
		time.Sleep(7*24*time.Hour + 2*time.Minute)
		const slots = 7 * 24 * 6
		var opened []time.Time
		logs, ended := 0, 0
		for {
			items, err := h.spool.Batch(t.Context(), spool.DefaultBatchLimits(), func(string) bool { return true })
			if err != nil {
				t.Fatal(err)
			}
			if len(items) == 0 {
				break
			}
			for _, item := range items {
				if item.Opened != nil {
					opened = append(opened, item.Opened.Slot)
				}
				for _, e := range item.Events {
					if logs > 0 {
						t.Fatal("an event after a log")
					}
					if e.Outcome != nil && e.Outcome.Result == spool.Succeeded {
						ended++
					}
				}
				logs += len(item.Log)
			}
			h.deliver()
		}
		if len(opened) != slots || !slices.IsSortedFunc(opened, time.Time.Compare) || ended != slots || logs != slots {
			t.Errorf("%d slots were opened, %d ended, %d logs; want %d each, in order", len(opened), ended, logs, slots)
		}
		want(t, "claims", h.claims(), "01-01 00:00:00 to 01-08 00:00:00")
	})
}
