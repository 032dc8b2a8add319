package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

var errOops = errors.New("oops")

func TestAFunctionThatFailsUndoesItsOwnWorkAndNobodyElses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				key := fmt.Sprint("key-", i)
				err := s.Write(t.Context(), func(tx *store.Tx) error {
					if err := tx.SetMeta(t.Context(), key, "x"); err != nil {
						return err
					}
					if i%3 == 0 {
						return errOops
					}
					return nil
				})
				if (i%3 == 0) != errors.Is(err, errOops) {
					t.Errorf("function %d: %v", i, err)
				}
			})
		}
		all.Wait()
		for i := range 60 {
			_, err := s.Meta(t.Context(), fmt.Sprint("key-", i))
			if (i%3 == 0) != fleet.Is(err, fleet.NotFound) {
				t.Errorf("key %d: %v", i, err)
			}
		}
	})
}

func TestWritersWhoWaitShareACommit(t *testing.T) {
	s := storetest.New(t)
	before := s.Stats()
	hold, held := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		writeBeside(t, s, func(tx *store.Tx) error {
			close(held)
			<-hold
			return nil
		})
	})
	<-held
	const writers = 50
	for i := range writers {
		all.Go(func() {
			writeBeside(t, s, func(tx *store.Tx) error { return tx.SetMeta(t.Context(), fmt.Sprint("k", i), "v") })
		})
	}
	// Everybody has queued when nothing but their waiting is left to do.
	for deadline := time.Now().Add(10 * time.Second); s.Waiting() < writers && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	close(hold)
	all.Wait()
	after := s.Stats()
	if n := after.Transactions - before.Transactions; n != writers+1 {
		t.Errorf("%d transactions were committed, want %d", n, writers+1)
	}
	if n := after.Commits - before.Commits; n > 2 {
		t.Errorf("%d commits carried them, want 2 at most", n)
	}
}

func TestAPanicIsItsCallersOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				if i%2 == 0 {
					defer func() {
						if r := recover(); r != "boom" {
							t.Errorf("the caller saw panic %v, want boom", r)
						}
					}()
				}
				writeBeside(t, s, func(tx *store.Tx) error {
					err := tx.SetMeta(t.Context(), fmt.Sprint("k", i), "v")
					if i%2 == 0 {
						panic("boom")
					}
					return err
				})
			})
		}
		all.Wait()
		for i := range 30 {
			if _, err := s.Meta(t.Context(), fmt.Sprint("k", i)); (i%2 == 0) != fleet.Is(err, fleet.NotFound) {
				t.Errorf("key %d: %v", i, err)
			}
		}
	})
}

func TestAGoroutineThatEndsInsideAFunctionBlocksNobody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var one sync.WaitGroup
		one.Go(func() {
			_ = s.Write(t.Context(), func(tx *store.Tx) error {
				_ = tx.SetMeta(t.Context(), "gone", "v")
				runtime.Goexit()
				return nil
			})
		})
		one.Wait()
		write(t, s, func(tx *store.Tx) error { return tx.SetMeta(t.Context(), "stays", "v") })
		_, err := s.Meta(t.Context(), "gone")
		wantCode(t, err, fleet.NotFound)
	})
}

func TestACallerWhoGivesUpInTheQueueIsNotServed(t *testing.T) {
	s := storetest.New(t)
	hold, held := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		writeBeside(t, s, func(tx *store.Tx) error { close(held); <-hold; return nil })
	})
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Write(ctx, func(tx *store.Tx) error { t.Error("the function of a caller who is gone was run"); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	close(hold)
	all.Wait()
}

// SQLite answers an interrupted write by ending the whole transaction, so one caller
// whose time is up could undo everybody's work.
func TestAStatementThatOutlastsItsCallerDoesNotEndTheGroup(t *testing.T) {
	s := storetest.New(t)
	hold, held := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		writeBeside(t, s, func(tx *store.Tx) error { close(held); <-hold; return nil })
	})
	<-held
	for i := range 5 {
		all.Go(func() {
			writeBeside(t, s, func(tx *store.Tx) error { return tx.SetMeta(t.Context(), fmt.Sprint("k", i), "v") })
		})
		all.Go(func() {
			const slow = `INSERT INTO meta (key, value) SELECT CAST(? AS TEXT), CAST(count(*) AS TEXT) FROM
				(WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500000) SELECT i FROM n)`
			err := s.Write(t.Context(), func(tx *store.Tx) error {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				if _, err := tx.Exec(ctx, slow, fmt.Sprint("slow", i)); err != nil {
					t.Errorf("the statement did not run to its end: %v", err)
				}
				return tx.SetMeta(ctx, fmt.Sprint("late", i), "v")
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the statement was too fast to be interrupted: %v", err)
			}
		})
	}
	close(hold)
	all.Wait()
	for i := range 5 {
		if _, err := s.Meta(t.Context(), fmt.Sprint("k", i)); err != nil {
			t.Error(err)
		}
	}
}

func TestACallerWhoHangsUpDoesNotEndTheGroup(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				err := s.Write(ctx, func(tx *store.Tx) error {
					if err := tx.SetMeta(ctx, fmt.Sprint("k", i), "v"); err != nil {
						return err
					}
					if i%2 == 0 {
						cancel()
						return tx.SetMeta(ctx, fmt.Sprint("l", i), "v")
					}
					return nil
				})
				if i%2 == 0 && !errors.Is(err, context.Canceled) || i%2 == 1 && err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
			})
		}
		all.Wait()
		for i := range 40 {
			if _, err := s.Meta(t.Context(), fmt.Sprint("k", i)); (i%2 == 0) != fleet.Is(err, fleet.NotFound) {
				t.Errorf("key %d: %v", i, err)
			}
		}
	})
}

func TestAStatementThatFailedEndsItsTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			if err := tx.SetMeta(t.Context(), "before", "v"); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `INSERT INTO meta (key, value) VALUES ('before', 'again')`)
			if err == nil {
				t.Error("a primary key was given twice")
			}
			if err := tx.SetMeta(t.Context(), "after", "v"); err == nil {
				t.Error("a statement ran in a transaction that had failed")
			}
			return nil // as if nothing had happened
		})
		if err == nil {
			t.Error("the transaction went through")
		}
		_, err = s.Meta(t.Context(), "before")
		wantCode(t, err, fleet.NotFound)
	})
}

func TestNothingIsWrittenOutsideOfATransaction(t *testing.T) {
	s := storetest.New(t)
	var id string
	err := s.Scalar(t.Context(), &id, `INSERT INTO meta (key, value) VALUES ('k', 'v') RETURNING key`)
	if err == nil {
		t.Error("a reading connection of SQLite wrote")
	}
}

func TestAViewSeesOneMoment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		err := s.View(t.Context(), func(q store.Queries) error {
			if _, err := q.FeedCursor(t.Context()); err != nil { // the first read begins the moment
				return err
			}
			addHost(t, s, "web-1")
			hosts, _, err := q.Hosts(t.Context(), store.HostFilter{}, store.Page{})
			if len(hosts) != 0 {
				t.Errorf("the view sees %d hosts made after it began", len(hosts))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestATransactionHasOneTime(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		want := fleet.At(c.now())
		write(t, s, func(tx *store.Tx) error {
			c.advance(time.Hour)
			if tx.Now != want {
				t.Errorf("the time moved within a transaction by %v", tx.Now.Time().Sub(want.Time()))
			}
			return nil
		})
	})
}

func TestEffectsAreToldOnceAndAfterTheCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var told []store.Effects
		s.OnCommit(func(e store.Effects) {
			told = append(told, e)
			if _, err := s.Meta(context.Background(), "k"); err != nil {
				t.Errorf("told before the commit: %v", err)
			}
		})
		touch := func(tx *store.Tx) error {
			for range 3 {
				tx.Touch(fleet.TopicHosts, "h1")
				tx.Wake("h1", "h2")
			}
			return tx.SetMeta(t.Context(), "k", "v")
		}
		err := s.Write(t.Context(), func(tx *store.Tx) error { return errors.Join(touch(tx), errOops) })
		if !errors.Is(err, errOops) || len(told) != 0 {
			t.Fatalf("%v, told of %v", err, told)
		}
		write(t, s, touch)
		if len(told) != 1 || len(told[0].Changes) != 1 || len(told[0].Hosts) != 2 {
			t.Errorf("told of %+v, want one change and two hosts, once", told)
		}
	})
}

func TestALostRaceIsRunAgain(t *testing.T) {
	at := storetest.PostgreSQL(t)
	s := storetest.Open(t, at, store.Options{})
	write(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.SetMeta(t.Context(), "a", "0"), tx.SetMeta(t.Context(), "b", "0"))
	})
	// Two transactions that lock the same rows in opposite order deadlock.
	var met sync.WaitGroup
	met.Add(2)
	var all sync.WaitGroup
	runs := make(chan struct{}, 100)
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		all.Go(func() {
			first := true
			writeBeside(t, s, func(tx *store.Tx) error {
				runs <- struct{}{}
				if err := tx.SetMeta(t.Context(), order[0], order[0]); err != nil {
					return err
				}
				if first {
					first = false
					met.Done()
					met.Wait()
				}
				return tx.SetMeta(t.Context(), order[1], order[0])
			})
		})
	}
	all.Wait()
	if n := len(runs); n < 3 {
		t.Errorf("the functions ran %d times: there was no deadlock to come back from", n)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s, err := store.Open(t.Context(), storetest.SQLite(t), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.Write(t.Context(), func(*store.Tx) error { return nil }), fleet.Unavailable)
	if _, err := s.FeedCursor(t.Context()); err == nil {
		t.Error("a closed store answered")
	}
}
