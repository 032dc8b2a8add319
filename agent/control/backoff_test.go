package control

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	down := &TransportError{Kind: Refused}
	for name, test := range map[string]struct {
		random float64
		want   []time.Duration
	}{
		"lowest":  {0, []time.Duration{1000, 1000, 1000}},
		"middle":  {0.5, []time.Duration{2000, 3500, 5750, 9125}},
		"highest": {0.999999, []time.Duration{3000, 9000, 27000, 60000, 60000}},
	} {
		t.Run(name, func(t *testing.T) {
			b := Backoff{Rand: func() float64 { return test.random }}
			for i, want := range test.want {
				if got := b.Next(down).Round(time.Millisecond); got != want*time.Millisecond {
					t.Errorf("wait %d is %s, want %s", i+1, got, want*time.Millisecond)
				}
			}
			if b.Next(nil) != 0 || b.Next(down) > 3*time.Second {
				t.Error("a good exchange does not reset it")
			}
		})
	}
}

func TestBackoffRetriesSoonAfterAnOrdinaryCut(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want time.Duration
	}{
		"late in the hold":   {cutAfter(20 * time.Second), time.Second},
		"early in the hold":  {cutAfter(2 * time.Second), 2 * time.Second},
		"not parked":         {&TransportError{Kind: Cut, Elapsed: time.Minute}, 2 * time.Second},
		"something else":     {errors.New("odd"), 2 * time.Second},
		"wrapped, but a cut": {errors.Join(cutAfter(24 * time.Second)), time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b := Backoff{Rand: func() float64 { return 0.5 }}
			if got := b.Next(test.err); got != test.want {
				t.Errorf("wait is %s, want %s", got, test.want)
			}
			if got := b.Next(test.err); got < time.Second {
				t.Errorf("the second wait is %s, want at least 1s", got)
			}
		})
	}
}

func TestBackoffObeysRetryAfterUpToItsCap(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{
		0: 2 * time.Second, 20 * time.Second: 21 * time.Second, time.Hour: 5 * time.Minute,
	} {
		b := Backoff{Rand: func() float64 { return 0.5 }}
		if got := b.Next(&Refusal{RetryAfter: asked}); got != want {
			t.Errorf("asked for %s it waits %s, want %s", asked, got, want)
		}
	}
}

func TestPaceLetsFiveThroughAndThenOneEachTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := NewPace(), time.Now()
		var at []time.Duration
		for range 8 {
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			at = append(at, time.Since(began))
		}
		if at[4] != 0 || at[5] != 2*time.Second || at[7] != 6*time.Second {
			t.Errorf("passed at %v", at)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a wait that was cancelled gave %v", err)
		}
	})
}
