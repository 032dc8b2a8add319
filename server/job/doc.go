// Package job holds the verbs that touch several nouns at once: what becomes of a
// wish to run something, from the request of a person to the result that an agent
// reports. Each verb is one function, used by the API, the pages and the loops
// alike, so that rules, rollups, conditions and audit entries cannot differ between
// them.
//
// The road of a job:
//
//	Enqueue   job, command and audit entry in one transaction; the agent is woken
//	Open      a process life of an agent begins: what it has and what we have is compared
//	Attend    the agent's sync: acknowledgements and facts up
//	Offer     the other half: commands, configuration and directives down
//	Report    the agent's records: streams are appended, states follow from events
//	finish    the result, with the rollups and conditions that follow from it
//
// Beside the road: Cancel, Prepare (the one init of a repository), Enrol,
// FetchSecrets, PutPart (listings), Log (reading), Watch, and Run with the loops that
// expire what nobody picked up and notice agents that fell silent.
//
// A job's state follows from the events of its agent, which are numbered densely, so
// that repeated, lost and reordered requests all lead to the same state. The server
// decides only what no agent can tell: expired, lost, and cancelled before any
// agent saw it. The agent's word replaces the server's.
//
// It may import server/{fleet, store, alert, secret, wake} and restic.
package job
