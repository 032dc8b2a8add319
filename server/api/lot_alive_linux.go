package api

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"
)

// alive tells whether the other end of a parked connection is still there and silent.
// It looks without waiting and takes nothing away. What cannot be looked at is taken
// for alive.
func alive(conn net.Conn) bool {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	silent := true
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		// An end, or a byte that an agent does not send before it was answered: that TLS
		// has ended, for one.
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
	})
	return err == nil && silent
}
