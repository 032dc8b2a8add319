package spool

import (
	"cmp"
	"fmt"
	"path/filepath"

	"restic-manager/agent/control"
)

// mostJobs is how many jobs a session's opening and a sync may name.
const mostJobs = 1000

// AgentJobs returns the jobs that are not wholly reported, for a session's
// opening: at most 1000, oldest first.
func (s *Spool) AgentJobs() []control.AgentJob {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := []control.AgentJob{}
	for _, j := range s.ordered() {
		if j.Muted || len(jobs) == mostJobs {
			continue
		}
		jobs = append(jobs, control.AgentJob{
			JobId: j.ID, Epoch: j.Epoch, WriterId: j.WriterID, Phase: string(j.Phase),
			FirstEventSeq: j.Events.First, NextEventSeq: j.Events.Next,
			FirstLogSeq: j.Chunks.First, NextLogSeq: j.Chunks.Next,
		})
	}
	return jobs
}

// Running returns the jobs without a result, for a sync: at most 1000, oldest first.
func (s *Spool) Running() []control.RunningJob {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []control.RunningJob
	for _, j := range s.ordered() {
		if j.Phase == Finished || len(jobs) == mostJobs {
			continue
		}
		jobs = append(jobs, control.RunningJob{
			JobId: j.ID, Epoch: j.Epoch, Phase: string(j.Phase), LastEventSeq: j.Events.Next - 1,
		})
	}
	return jobs
}

// Summary says what waits for the server.
func (s *Spool) Summary() control.SpoolSummary {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := control.SpoolSummary{DroppedLines: s.counts.DroppedLines}
	for _, j := range s.ordered() {
		if !j.Events.retained() && !j.Chunks.retained() {
			continue
		}
		sum.Jobs++
		sum.Bytes += j.Events.size + j.Chunks.size
		if sum.OldestAt.IsZero() {
			sum.OldestAt = j.OpenedAt
		}
	}
	return sum
}

// Health names what is wrong with the disk or was lost: `journal_failed` while
// writes fail, `spool_damaged` while a database that was moved aside still lies
// there, `process_not_recorded` while a process works that only memory knows of,
// `records_rejected` for a day after the server refused a record, `command_malformed`
// for a day after it sent a command that is against the contract.
func (s *Spool) Health() []control.HealthProblem {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []control.HealthProblem
	if err := cmp.Or(s.homeless, s.failure); err != nil {
		next := fmt.Sprintf("Make room on the file system of %s, or look why it takes no writes.", s.dir)
		if s.homeless != nil {
			next += " The agent goes back to the disk by itself, once the server has all that waits here."
		}
		problems = append(problems, control.HealthProblem{
			Code: "journal_failed", Message: cut("The agent cannot write its state: "+err.Error(), maxStep), NextStep: next,
		})
	}
	for _, path := range s.damaged {
		problems = append(problems, control.HealthProblem{
			Code:     "spool_damaged",
			Message:  fmt.Sprintf("The agent's state database was damaged and moved to %s; a new one was begun.", filepath.Base(path)),
			NextStep: fmt.Sprintf("Check the disk, then delete %s and restart the agent.", path),
		})
	}
	for _, j := range s.ordered() {
		if j.unrecorded && len(j.Process) > 0 {
			problems = append(problems, control.HealthProblem{
				Code:     "process_not_recorded",
				Message:  fmt.Sprintf("The disk took no note of the process that works for job %s: should the agent die now, its next start does not find and end it.", j.ID),
				NextStep: fmt.Sprintf("Make room on the file system of %s.", s.dir),
			})
			break
		}
	}
	now := s.now()
	if rejected := s.counts.Rejected.since(now); rejected > 0 {
		problems = append(problems, control.HealthProblem{
			Code:     "records_rejected",
			Message:  fmt.Sprintf("The server refused %d records; the agent keeps copies of the last ones.", rejected),
			NextStep: "Update server and agent to the same version and report this.",
		})
	}
	if malformed := s.counts.Malformed.since(now); malformed > 0 {
		problems = append(problems, control.HealthProblem{
			Code:     "command_malformed",
			Message:  fmt.Sprintf("The server sent %d commands that are against the contract; the agent took none of them.", malformed),
			NextStep: "Find out whether the server is the program that it should be, and who could change it.",
		})
	}
	return problems
}
