// Package fleet holds the nouns of restic-manager, their rules and the closed set
// of error codes. It knows nothing of SQL, HTTP or processes; everything else on
// the server is written in its words:
//
//	Host        an enrolled machine; its id survives re-enrolment (not client, node)
//	Repository  a restic repository: location, password, credentials
//	Credential  what a repository's backend asks for, in a slot: append or maintenance
//	Schedule    what a host backs up, where to, when, how long kept (not plan, source)
//	Job         one execution of one operation on one host; a retry is an attempt (not task, run)
//	Operation   what a job does
//	Trigger     why a job exists
//	Command     an instruction queued for an agent, densely numbered per host
//	Report      a batch of job records from an agent
//	Stream      a job's events or log, densely numbered
//	Session     a process life of an agent; a browser's is a sign-in
//	Snapshot    a restic snapshot as last seen
//	Condition   something about a host or repository that needs a person
//	Alert       one cause that needs a person, with all that it touches
//	Channel     a way to tell a person
//	Delivery    one message for one channel: a promise, then a record
//
// It may import restic and agent/slot.
package fleet
