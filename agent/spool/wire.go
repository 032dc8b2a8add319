package spool

import "restic-manager/agent/control"

// The contract's types that executors of jobs fill in.
type (
	Outcome            = control.Outcome
	Result             = control.JobResult
	Stats              = control.BackupStats
	FileWarning        = control.FileWarning
	RepositoryIdentity = control.RepositoryIdentity
	LockInfo           = control.LockInfo
	Snapshot           = control.SnapshotRecord
	Progress           = control.Progress
	SourceSeen         = control.SourceSeen
	StorageSpace       = control.StorageSpace
	Repository         = control.AgentRepository
)

// The results that an agent gives.
const (
	Succeeded   = control.Succeeded
	Warning     = control.Warning
	Failed      = control.Failed
	Cancelled   = control.Cancelled
	Interrupted = control.Interrupted
	Rejected    = control.Rejected
	Skipped     = control.Skipped
	Missed      = control.Missed
	Expired     = control.Expired
)
