package wake_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
	"restic-manager/server/wake"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func TestAPublishedTopicWakesItsSubscribersAndNobodyElse(t *testing.T) {
	w := newWaker(t, storetest.New(t))
	mine, cancel := w.Subscribe("host/a", "jobs/1")
	defer cancel()
	other, cancelOther := w.Subscribe("host/b")
	defer cancelOther()

	w.Publish("jobs/1")
	w.Publish("host/a")
	if !isWoken(mine) {
		t.Error("the subscriber was not woken")
	}
	if isWoken(mine) {
		t.Error("two publications woke the subscriber twice: they shall become one")
	}
	if isWoken(other) {
		t.Error("a subscriber of another topic was woken")
	}
}

func TestAWakeUpBetweenSubscribingAndParkingIsKept(t *testing.T) {
	w := newWaker(t, storetest.New(t))
	woken, cancel := w.Subscribe("host/a")
	defer cancel()
	w.Publish("host/a") // while the subscriber still reads the database
	await(t, woken)
}

func TestCancelEndsASubscription(t *testing.T) {
	w := newWaker(t, storetest.New(t))
	woken, cancel := w.Subscribe("host/a", "changes")
	if got := w.Parked(); got != 2 {
		t.Fatalf("%d subscriptions, want 2", got)
	}
	cancel()
	cancel()
	if got := w.Parked(); got != 0 {
		t.Errorf("%d subscriptions are left, want none", got)
	}
	w.Publish("host/a")
	if isWoken(woken) {
		t.Error("woken after cancel")
	}
}

func TestCloseWakesEverybodyAndSaysThatTheServerDrains(t *testing.T) {
	w := newWaker(t, storetest.New(t))
	a, cancelA := w.Subscribe("host/a")
	defer cancelA()
	b, cancelB := w.Subscribe("changes")
	defer cancelB()
	w.Close()
	w.Close()
	await(t, a)
	await(t, b)
	await(t, w.Draining())
}

func TestACommitWakesAndAnUndoneChangeDoesNot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newWaker(t, s)
		agent, cancel := w.Subscribe(wake.Host("h1"))
		defer cancel()
		page, cancelPage := w.Subscribe(wake.Job("j1"))
		defer cancelPage()
		told := func(tx *store.Tx) {
			tx.Wake("h1")
			tx.Touch(fleet.TopicJobs, "j1")
		}
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			told(tx)
			return fleet.Errorf(fleet.Invalid, "undo it")
		})
		if !fleet.Is(err, fleet.Invalid) {
			t.Fatal(err)
		}
		if isWoken(agent) || isWoken(page) {
			t.Fatal("a change that was undone woke somebody")
		}
		if err := s.Write(t.Context(), func(tx *store.Tx) error { told(tx); return nil }); err != nil {
			t.Fatal(err)
		}
		if !isWoken(agent) || !isWoken(page) {
			t.Error("the commit woke nobody in its own process")
		}
	})
}

func TestChangesReachTheFeedWhichWakesItsReaders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newWaker(t, s)
		run(t, w)
		reader, cancel := w.Subscribe(wake.Changes)
		defer cancel()
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			for range 100 {
				tx.Touch(fleet.TopicHosts, "h1")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var feed store.Feed
		for feed.Cursor == 0 { // a wake-up is a hint
			await(t, reader)
			if feed, err = s.Feed(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		if len(feed.Changes) != 1 || feed.Changes[0] != (fleet.Change{Topic: fleet.TopicHosts, ID: "h1"}) || feed.Cursor != 1 {
			t.Errorf("the feed says %+v, want one change of h1 at 1", feed)
		}
	})
}

func TestWhatIsUntoldWhenTheServerStopsIsTold(t *testing.T) {
	s := storetest.New(t)
	w := newWaker(t, s)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Write(t.Context(), func(tx *store.Tx) error { tx.Touch(fleet.TopicHosts, "h1"); return nil }); err != nil {
		t.Fatal(err)
	}
	w.Run(ctx)
	if cursor, err := s.FeedCursor(t.Context()); err != nil || cursor != 1 {
		t.Errorf("the feed is at %d, %v; want 1", cursor, err)
	}
}

// The feed gathers for 250 ms: in virtual time a change each 10 ms becomes
// four numbers a second at most.
func TestTheFeedIsNumberedAtMostFourTimesASecond(t *testing.T) {
	url := storetest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := wake.New(s, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { w.Run(ctx) })
		for range 500 { // five seconds
			if err := s.Write(t.Context(), func(tx *store.Tx) error { tx.Touch(fleet.TopicHosts, "h1"); return nil }); err != nil {
				t.Fatal(err)
			}
			<-time.After(10 * time.Millisecond)
		}
		stop()
		done.Wait()
		if n, err := s.FeedCursor(t.Context()); err != nil || n < 15 || n > 21 {
			t.Errorf("the feed was numbered %d times in five seconds, %v", n, err)
		}
	})
}

func newWaker(t *testing.T, s *store.Store) *wake.Waker {
	t.Helper()
	w := wake.New(s, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(w.Close)
	return w
}

// run runs wakers until the test ends, and sees that nothing of them stays behind.
func run(t *testing.T, wakers ...*wake.Waker) {
	t.Helper()
	others := goleak.IgnoreCurrent()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var done sync.WaitGroup
	for _, w := range wakers {
		done.Go(func() { w.Run(ctx) })
	}
	t.Cleanup(func() {
		stop()
		done.Wait()
		goleak.VerifyNone(t, others)
	})
}

func isWoken(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func await(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal("nobody woke in time")
	}
}
