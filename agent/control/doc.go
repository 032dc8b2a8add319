// Package control is the agent's side of the contract: the generated client and
// wire types, and around them the transports, back-off and hold learning that a
// fleet behind arbitrary proxies needs. control.gen.go is generated.
//
// It may import restic for its Secret alone.
package control
