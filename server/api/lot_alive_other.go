//go:build !linux

package api

import "net"

// alive takes every connection for alive: a parked request of an agent that went away
// ends with its hold.
func alive(net.Conn) bool { return true }
