package runner

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/agent/spool"
	"restic-manager/agent/stage"
	"restic-manager/restic/restictest"
)

// TestARestoreIsStoppedWhenTheDiskGetsFull has a restic that is at work while something
// else fills the disk: what it would have written, by its own word, was little.
func TestARestoreIsStoppedWhenTheDiskGetsFull(t *testing.T) {
	t.Parallel()
	hang := []restictest.Step{{Pause: time.Hour}}
	for operation, c := range map[string]struct {
		params  map[string]any
		replies []restictest.Reply
		works   func(p *place, job string) bool
	}{
		"restore": {map[string]any{"target": "staging"}, []restictest.Reply{
			says("restore", `{"message_type":"summary","total_files":1,"files_restored":1,"total_bytes":3,"bytes_restored":3}`, 0), {Command: "restore", Steps: hang, Exit: 130},
		}, func(p *place, job string) bool {
			return slices.ContainsFunc(p.recorded(job).events, func(e control.Event) bool { return strings.HasPrefix(e.Message, "restores into ") })
		}},
		"dump": {map[string]any{"path": "/a"}, []restictest.Reply{
			says("ls", `{"message_type":"snapshot","struct_type":"snapshot","id":"`+fakeSnap+`"}`+"\n"+`{"name":"a","type":"file","path":"/a","size":3,"struct_type":"node"}`, 0), {Command: "dump", Steps: hang, Exit: 130},
		}, func(p *place, job string) bool {
			return strings.Contains(p.recorded(job).lines(), "restic dump")
		}},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			disk := t.TempDir()
			restictest.Disk(t, disk, "4m")
			fake := restictest.NewFake(t, fakeScript(append(c.replies, catConfig(), listed("x"))...))
			p := newPlace(t, fake.Path())
			home := filepath.Dir(filepath.Dir(p.policy)) + "/cache" // the fake notes its calls beside itself, where the fence must let it
			err := errors.Join(os.MkdirAll(p.storage+"/locks", 0o700), os.MkdirAll(home, 0o700),
				os.Link(fake.Path(), home+"/"+filepath.Base(fake.Path())), os.Link(filepath.Dir(fake.Path())+"/script.json", home+"/script.json"))
			if err != nil {
				t.Fatal(err)
			}
			p.runner.restic.Use(home + "/" + filepath.Base(fake.Path()))
			p.stagedIn(disk+"/restore", "")
			c.params["repository_id"], c.params["snapshot_id"] = repositoryID, fakeSnap
			job := p.command(operation, c.params)
			ctx, cancel := context.WithCancelCause(t.Context())
			done := make(chan struct{})
			go func() { p.runner.Run(ctx, job); close(done) }()
			t.Cleanup(func() { cancel(ErrCancelled); <-done })
			for end := time.Now().Add(time.Minute); !c.works(p, job.ID); {
				select {
				case <-done:
					t.Fatalf("it has ended: %+v", p.recorded(job.ID).outcome())
				default:
				}
				if time.Now().After(end) {
					t.Fatal("restic does not work")
				}
				waitABit(t)
			}
			if err := os.WriteFile(disk+"/full", make([]byte, 3500<<10), 0o600); err != nil {
				t.Fatal(err)
			}
			select {
			case <-done:
			case <-time.After(15 * time.Second):
				t.Fatal("it goes on")
			}
			got := p.recorded(job.ID).want(spool.Failed, CodeNoSpace)
			if !strings.Contains(got.Message, "KiB left, and 1.0 MiB are to stay free") || !strings.Contains(got.NextStep, "restore.keep_free") {
				t.Errorf("it says %q, then %q", got.Message, got.NextStep)
			}
			if left, err := filepath.Glob(disk + "/restore/*"); err != nil || len(left) > 0 {
				t.Errorf("left are %q, %v", left, err)
			}
		})
	}
}

func waitABit(t *testing.T) {
	t.Helper()
	if !pause(t.Context(), 10*time.Millisecond) {
		t.Fatal("the test was over")
	}
}

// TestWhatIsRestoredLeavesRoom asks of disks that are nearly full in one way or another.
func TestWhatIsRestoredLeavesRoom(t *testing.T) {
	t.Parallel()
	const gib = int64(1) << 30
	disk := stage.Room{Free: 4 * gib, Total: 200 * gib, Names: 20, AllNames: 1000}
	over := func(change func(r *stage.Room)) margin {
		room := disk
		change(&room)
		return margin{policy.Default(policy.Guarded), func() (stage.Room, error) { return room, nil }, "/disk"}
	}
	as := func(*stage.Room) {}
	endless := func(r *stage.Room) { r.Names, r.AllNames = 0, 0 }
	for name, c := range map[string]struct {
		m            margin
		bytes, names int64
		want         string
	}{
		"what there is room for":             {over(as), 2 * gib, 10, ""},
		"a byte too many":                    {over(as), 2*gib + 1, 1, "/disk has 4.0 GiB free, of which 2.0 GiB stay free"},
		"a file too many":                    {over(as), 1, 11, "/disk can hold 20 more, of which 10 stay free"},
		"more than can be":                   {over(as), math.MaxInt64, 1, "stay free"},
		"any number where that has no bound": {over(endless), 1, 1 << 40, ""},
	} {
		e := c.m.fits("restore", c.bytes, c.names)
		if got := fmt.Sprint(e); (e == nil) != (c.want == "") || e != nil && (e.Code != CodeNoSpace || !strings.Contains(e.Message, c.want)) {
			t.Errorf("%s: %s, want %q", name, got, c.want)
		}
	}
	for name, c := range map[string]struct {
		m    margin
		want string
	}{
		"enough":        {over(as), ""},
		"few bytes":     {over(func(r *stage.Room) { r.Free = gib }), "/disk has only 1.0 GiB left, and 2.0 GiB are to stay free"},
		"few files":     {over(func(r *stage.Room) { r.Names = 9 }), "/disk can hold only 9 more files"},
		"files endless": {over(endless), ""},
	} {
		_, end := c.m.watch(t.Context())
		if e := end(nil); (e == nil) != (c.want == "") || e != nil && (e.Code != CodeNoSpace || !strings.Contains(e.Message, c.want)) {
			t.Errorf("%s, at the end: %+v, want %q", name, e, c.want)
		}
	}
	_, end := over(func(r *stage.Room) { r.Free = 0 }).watch(t.Context())
	if e := end(failed("restic_failed", "write: no space left on device", "")); e.Code != CodeNoSpace || !strings.HasSuffix(e.Message, "no space left on device") {
		t.Errorf("a restic that failed for it has ended as %+v", e)
	}
	called, cancel := context.WithCancelCause(t.Context())
	cancel(ErrCancelled)
	_, end = over(func(r *stage.Room) { r.Free = 0 }).watch(called)
	if e := end(nil); e != nil {
		t.Errorf("a job that was called off has ended as %+v", e)
	}
}
