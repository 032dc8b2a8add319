package restictest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
)

// The system takes the ports of outgoing connections from 32768 on: one that is free there
// can be gone before a server listens on it, or while it is started again.
const (
	firstPort = 20000
	lastPort  = 32767
)

var nextPort = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(rand.Int64N(lastPort - firstPort + 1))
	return &n
}()

// FreeAddr gives a loopback address where nobody listens and that no outgoing connection
// takes, for a server that is told where to listen. It gives none twice in a process.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range lastPort - firstPort + 1 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+nextPort.Add(1)%(lastPort-firstPort+1)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port on loopback")
	return ""
}
