// Package auth decides who a request comes from and what that caller may do:
// passwords, browser sign-ins, the throttle against guessing, the one-time set-up
// of the first account, agents' secrets, and the one table that gives every
// operation of the contract its role.
//
//	Rule      who may call a route: public, viewer, operator, admin, agent, token
//	Policy    the rules of all routes of a router; a route without one does not start
//	Sign-in   a browser's session: a random token in a cookie, its hash in the database
//	Person    the account behind a request that was let through
//	Caller    where a request comes from, for the audit log and the throttle
//
// It may import server/fleet, server/store and server/wake.
package auth
