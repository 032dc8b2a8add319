package fleet

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/slot"
)

// SlotJob is the id of a slot's job, whoever makes it.
func SlotJob(id ScheduleID, at Time) (JobID, error) {
	schedule, err := uuid.Parse(string(id))
	if err != nil {
		return "", fmt.Errorf("read the id of schedule %s: %w", id, err)
	}
	return JobID(slot.JobID(schedule, at.Time()).String()), nil
}

// DayJob is the id of the job that stands for several missed slots of a schedule on a
// day of UTC. It is that of none of them, so that each may still be reported.
func DayJob(id ScheduleID, at Time) (JobID, error) {
	schedule, err := uuid.Parse(string(id))
	if err != nil {
		return "", fmt.Errorf("read the id of schedule %s: %w", id, err)
	}
	return JobID(uuid.NewSHA1(schedule, []byte("missed on "+at.Time().Format(time.DateOnly))).String()), nil
}
