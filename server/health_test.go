package server_test

import (
	"testing"

	"restic-manager/server"
)

func TestTheHealthOfAServerIsThatOfWhatListens(t *testing.T) {
	for name, selfMade := range map[string]bool{"plain": false, "with a certificate of its own": true} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			o.TLSSelfMade = selfMade
			r := start(t, o)
			o.Listen = r.Addr()
			if err := server.Health(t.Context(), o); err != nil {
				t.Errorf("it serves: %v", err)
			}
			r.stop()
			if err := server.Health(t.Context(), o); err == nil {
				t.Error("it has stopped and is healthy")
			}
		})
	}
}
