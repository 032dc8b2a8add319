package wake_test

import (
	"testing"

	"restic-manager/server/store/storetest"
)

func TestABellCallsOnceForEachCallThatIsWanted(t *testing.T) {
	w := newWaker(t, storetest.New(t))
	b := w.Bell("host/a")
	defer b.Close()
	rung := make(chan struct{}, 10)
	ring := func() { rung <- struct{}{} }

	w.Publish("host/a") // before anybody wants to be called
	w.Publish("host/a")
	b.Call(ring)
	await(t, rung)
	w.Publish("host/b")
	w.Publish("host/a") // nobody wants to be called now
	if isWoken(rung) {
		t.Error("somebody was called twice")
	}
	b.Call(ring)
	await(t, rung)
	b.Call(ring)
	w.Publish("host/a")
	await(t, rung)
}

func TestAClosedBellCallsNobody(t *testing.T) {
	w := newWaker(t, storetest.New(t))
	b := w.Bell("host/a")
	b.Call(func() { t.Error("somebody was called") })
	b.Close()
	b.Close()
	w.Publish("host/a")
	if got := w.Parked(); got != 0 {
		t.Errorf("%d subscriptions are left, want none", got)
	}
}

func TestCloseRingsEveryBell(t *testing.T) {
	w := newWaker(t, storetest.New(t))
	b := w.Bell("host/a")
	defer b.Close()
	rung := make(chan struct{}, 1)
	b.Call(func() { close(rung) })
	w.Close()
	await(t, rung)
}
