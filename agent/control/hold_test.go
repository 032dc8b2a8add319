package control

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// notebook is a memory of a test.
type notebook map[string][]byte

func (n notebook) Value(key string) ([]byte, bool) { v, ok := n[key]; return v, ok }

func (n notebook) SetValue(_ context.Context, key string, value []byte) error {
	n[key] = value
	if value == nil {
		delete(n, key)
	}
	return nil
}

func cutAfter(d time.Duration) error {
	return &TransportError{Kind: Cut, Elapsed: d, Hold: 25 * time.Second}
}

func TestHoldIsLearnedFromTwoSimilarCuts(t *testing.T) {
	ended := func(kind Kind, status int, seconds float64) error {
		return &TransportError{
			Kind: kind, Status: status, Hold: 25 * time.Second, Elapsed: time.Duration(seconds * float64(time.Second)),
		}
	}
	tests := map[string]struct {
		ends []error
		want time.Duration
	}{
		"nothing":                       {nil, 25 * time.Second},
		"one cut":                       {[]error{ended(Cut, 0, 20)}, 25 * time.Second},
		"two similar cuts":              {[]error{ended(Cut, 0, 20), ended(Cut, 0, 20.1)}, 16 * time.Second},
		"a proxy's 504 twice":           {[]error{ended(NotOurs, 504, 15), ended(NotOurs, 504, 15)}, 12 * time.Second},
		"HTML with 200 twice":           {[]error{ended(NotOurs, 200, 15), ended(NotOurs, 200, 15)}, 12 * time.Second},
		"two cuts of different length":  {[]error{ended(Cut, 0, 13), ended(Cut, 0, 24)}, 25 * time.Second},
		"the last two of three":         {[]error{ended(Cut, 0, 13), ended(Cut, 0, 24), ended(Cut, 0, 23)}, 18 * time.Second},
		"an answer in between":          {[]error{ended(Cut, 0, 20), nil, ended(Cut, 0, 20)}, 25 * time.Second},
		"a refusal in between":          {[]error{ended(Cut, 0, 20), &Refusal{}, ended(Cut, 0, 20)}, 16 * time.Second},
		"the server being down":         {[]error{ended(Refused, 0, 0), ended(Refused, 0, 0), ended(NotOurs, 502, 0.1), ended(NotOurs, 502, 0.1)}, 25 * time.Second},
		"a failed connection between":   {[]error{ended(Cut, 0, 20), ended(Refused, 0, 10), ended(Cut, 0, 20)}, 16 * time.Second},
		"cuts that are never below 5 s": {[]error{&TransportError{Kind: Cut, Hold: 8 * time.Second, Elapsed: 5 * time.Second}, &TransportError{Kind: Cut, Hold: 8 * time.Second, Elapsed: 5 * time.Second}}, 5 * time.Second},
		"a box that cuts early, twice":  {[]error{ended(NotOurs, 504, 8), ended(NotOurs, 504, 8)}, 25 * time.Second},
		"a box that cuts early, thrice": {[]error{ended(NotOurs, 504, 8), ended(NotOurs, 504, 8), ended(NotOurs, 504, 8.1)}, 6 * time.Second},
		"silence":                       {[]error{ended(Timeout, 0, 40), ended(Timeout, 0, 40)}, 20 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h, now := newHold(nil, "https://x/"), time.Unix(1e9, 0)
			for _, err := range test.ends {
				if err := h.observe(t.Context(), now, h.wait(now), err); err != nil {
					t.Fatal(err)
				}
			}
			if got := h.wait(now); got != test.want {
				t.Errorf("waits %s, want %s", got, test.want)
			}
		})
	}
}

func TestLearnedHoldOutlastsARestartAndIsTriedOnceADay(t *testing.T) {
	memory, now := notebook{}, time.Unix(1e9, 0)
	h := newHold(memory, "https://x/")
	for range 2 {
		if err := h.observe(t.Context(), now, h.wait(now), cutAfter(20*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	h = newHold(memory, "https://x/")
	if got := h.wait(now.Add(23 * time.Hour)); got != 16*time.Second {
		t.Errorf("after a restart it waits %s, want 16s", got)
	}
	if got := newHold(memory, "https://y/").wait(now); got != 25*time.Second {
		t.Errorf("another server is waited for %s, want 25s", got)
	}
	tomorrow := now.Add(25 * time.Hour)
	if got := h.wait(tomorrow); got != 25*time.Second {
		t.Fatalf("a day later it waits %s, want the whole hold", got)
	}
	_ = h.observe(t.Context(), tomorrow, 25*time.Second, cutAfter(20*time.Second))
	if got := h.wait(tomorrow); got != 16*time.Second {
		t.Errorf("after a trial that was cut it waits %s, want 16s", got)
	}
	later := tomorrow.Add(25 * time.Hour)
	_ = h.observe(t.Context(), later, h.wait(later), nil)
	if got := h.wait(later); got != 25*time.Second || len(memory) != 0 {
		t.Errorf("after a trial that held it waits %s and remembers %v", got, memory)
	}
}

func TestServerGrantsTheHold(t *testing.T) {
	h, now := newHold(nil, "https://x/"), time.Unix(1e9, 0)
	for granted, want := range map[time.Duration]time.Duration{
		10 * time.Second: 10 * time.Second, time.Hour: 300 * time.Second, 0: time.Second,
	} {
		h.grant(granted)
		if got := h.wait(now); got != want {
			t.Errorf("granted %s it waits %s, want %s", granted, got, want)
		}
	}
}

func TestLinkLearnsFromABoxThatCuts(t *testing.T) {
	var waits []int
	memory := notebook{}
	inVirtualTime(t, memory, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Second) // virtual: a balancer with a limit of 20 s
		w.WriteHeader(http.StatusGatewayTimeout)
	}, func(t *testing.T, l *Link) {
		for range 3 {
			waits = append(waits, int(l.hold.wait(time.Now())/time.Second))
			_, err := l.Sync(t.Context(), SyncRequest{})
			var transport *TransportError
			if !errors.As(err, &transport) || transport.Status != 504 {
				t.Errorf("error is %v", err)
			}
		}
	})
	if waits[0] != 25 || waits[1] != 25 || waits[2] != 16 || len(memory) != 1 {
		t.Errorf("waits were %v, memory %s", waits, memory)
	}
}
