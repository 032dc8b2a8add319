// Package server is the control plane as a value: New makes it from Options, Run
// serves until its context ends, Addr tells where. It only wires: what is done is in
// the packages below it.
//
// It may import every package below server, and restic, web and deploy.
package server
