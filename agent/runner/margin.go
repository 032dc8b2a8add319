package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"restic-manager/agent/policy"
	"restic-manager/agent/stage"
)

// margin is the room that restores and dumps leave where they write. It is looked at before
// restic writes and while it does: what was listed may be wrong, other jobs write too, and
// what they all leave behind stays until somebody removes it.
type margin struct {
	rules *policy.Policy
	room  func() (stage.Room, error)
	where string
}

const (
	lookForRoom = 250 * time.Millisecond
	namesShare  = 100 // one in so many of all files that a file system can hold stays free
	nextRoom    = "make room there, such as by removing what earlier restores left, or choose less; in the policy file root can name another disk as restore.staging_dir, and how much stays free as restore.keep_free"
)

func (t *Task) margin(folder *stage.Folder) margin {
	return margin{t.restore.rules, folder.Room, t.restore.parent}
}

// kept is what stays free.
func (m margin) kept(room stage.Room) (bytes, names int64) {
	return m.rules.KeepFree(room.Total), room.AllNames / namesShare
}

// fits is the ending of a job that there is no room for, nil for others.
func (m margin) fits(what string, bytes, names int64) *Ending {
	room, err := m.room()
	if err != nil {
		return failed(CodeRestoreFolder, "the free space could not be found out: "+err.Error(), "look at the disk of "+m.where)
	}
	free, spare := m.kept(room)
	switch {
	case bytes > room.Free-free: //guard:restore-space
		return failed(CodeNoSpace, fmt.Sprintf("the %s needs %s, and %s has %s free, of which %s stay free",
			what, humanize.IBytes(uint64(max(0, bytes))), m.where, humanize.IBytes(uint64(max(0, room.Free))), humanize.IBytes(uint64(free))), nextRoom)
	case room.AllNames > 0 && names > room.Names-spare: //guard:restore-names
		return failed(CodeNoSpace, fmt.Sprintf("the %s makes %s files and folders, and %s can hold %s more, of which %s stay free",
			what, humanize.Comma(names), m.where, humanize.Comma(room.Names), humanize.Comma(spare)), nextRoom)
	}
	return nil
}

// noRoom is the cause with which a job is ended that leaves too little room.
type noRoom struct{ text string }

func (n *noRoom) Error() string { return n.text }

func (n *noRoom) ending() *Ending { return failed(CodeNoSpace, n.text, nextRoom) }

// short says why there is too little room, nil while there is enough. Whoever cannot look
// does not stop a job for it.
func (m margin) short() *noRoom {
	room, err := m.room()
	if err != nil {
		return nil
	}
	free, spare := m.kept(room)
	switch {
	case room.Free < free: //guard:restore-margin
		return &noRoom{fmt.Sprintf("it was stopped: %s has only %s left, and %s are to stay free",
			m.where, humanize.IBytes(uint64(room.Free)), humanize.IBytes(uint64(free)))}
	case room.AllNames > 0 && room.Names < spare:
		return &noRoom{fmt.Sprintf("it was stopped: %s can hold only %s more files, and room for %s is to stay free",
			m.where, humanize.Comma(room.Names), humanize.Comma(spare))}
	}
	return nil
}

// watch ends the context that it returns once there is too little room. over ends the
// watch with the ending of what was watched, and returns the one that holds: after a last
// look, what has left too little room has failed for that.
func (m margin) watch(parent context.Context) (ctx context.Context, over func(*Ending) *Ending) {
	ctx, cancel := context.WithCancelCause(parent)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for pause(ctx, lookForRoom) {
			if short := m.short(); short != nil {
				cancel(short)
			}
		}
	}()
	return ctx, func(e *Ending) *Ending {
		cancel(nil)
		<-ended
		short := m.short()
		if short == nil || parent.Err() != nil || e != nil && e.Code == CodeNoSpace { //guard:restore-last-look
			return e
		}
		full := short.ending()
		if e != nil {
			full.addMessage(e.Message)
		}
		return full
	}
}
