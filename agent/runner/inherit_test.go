//go:build linux

package runner

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/agent/upkeep"
)

// firstSeen is when the ledger has first seen the one snapshot that is not among others;
// zero where it does not know it.
func (n *nas) firstSeen(others ...string) time.Time {
	n.t.Helper()
	l, err := upkeep.OpenLedger(n.options.Upkeep, n.resticID())
	if err != nil {
		n.t.Fatal(err)
	}
	for _, id := range n.snapshots() {
		if !slices.Contains(others, id) {
			return l.Snapshots[id].At
		}
	}
	n.t.Fatal("there is no other snapshot")
	return time.Time{}
}

// TestWhatWasReplacedBeforeACutKeepsItsAge has a job fail once restic has replaced a
// snapshot. A new one that counted as first seen now would be odd, or the youngest.
func TestWhatWasReplacedBeforeACutKeepsItsAge(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"tag", "rewrite"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			n := newNas(t, "trixie", "  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n")
			old, young := n.good(9), n.good(1)
			params := map[string]any{"snapshot_ids": []string{old}}
			if operation == "tag" {
				params["add"] = []string{"mine"}
			} else {
				_, _, rows := n.must(spool.Succeeded, "", "tag", map[string]any{"snapshot_ids": []string{old}, "add": []string{"mine"}})
				old = rows[0]["new_id"].(string)
				params["snapshot_ids"] = []string{old}
				params["excludes"], params["forget"] = []string{"changes"}, true
			}
			n.meddle(" "+operation+" ", "", "exit 1")
			if outcome, _, _ := n.order(operation, params); outcome.Result == spool.Succeeded {
				t.Fatalf("it ended as %s", outcome.Result)
			}
			want := n.now.AddDate(0, 0, -9)
			if at := n.firstSeen(young); at.Sub(want).Abs() > time.Hour || slices.Contains(n.snapshots(), old) {
				t.Errorf("first seen %v, want %v", at, want)
			}
		})
	}
}

// TestWhatWasReplacedIsSettledLater has nothing work after restic has replaced a snapshot:
// the agent's next life looks, or the next job that is about the snapshots.
func TestWhatWasReplacedIsSettledLater(t *testing.T) {
	t.Parallel()
	later := map[string]func(*nas, map[string]any){
		"at the next job": func(n *nas, _ map[string]any) {
			n.must(spool.Succeeded, "", "retention", map[string]any{"dry_run": true})
		},
		"in the agent's next life": func(n *nas, params map[string]any) {
			params["repository_id"] = repositoryID
			job := n.command("tag", params)
			started, err := n.spool.Start(n.t.Context(), job.ID)
			if err != nil {
				n.t.Fatal(err)
			}
			n.runner.Recover(n.t.Context(), started)
			n.recorded(job.ID).want(spool.Interrupted, CodeAgentDied)
		},
	}
	for name, look := range later {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNas(t, "trixie", "")
			old, young := n.good(9), n.good(1)
			config := filepath.Join(n.folder, "config")
			n.meddle(" tag ", "", "mv '"+config+"' '"+config+".away'; exit 1")
			params := map[string]any{"snapshot_ids": []string{old}, "add": []string{"mine"}}
			n.order("tag", params)
			writeFile(t, config, readFile(t, config+".away"))
			if at := n.firstSeen(young); !at.IsZero() {
				t.Fatalf("it is known already: %v", at)
			}
			look(n, params)
			want := n.now.AddDate(0, 0, -9)
			if at := n.firstSeen(young); at.Sub(want).Abs() > time.Hour {
				t.Errorf("first seen %v, want %v", at, want)
			}
		})
	}
}

// TestNoRepairIsWithoutAWayBack looks for the copies that repairs make.
func TestNoRepairIsWithoutAWayBack(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	writeFile(t, filepath.Join(n.source, "big"), incompressible(300_000))
	n.good(1)
	pack := n.flipIn(n.folder)
	for i, order := range []struct {
		operation string
		params    map[string]any
	}{
		{"repair-index", nil},
		{"repair-packs", map[string]any{"pack_ids": []string{pack}}},
		{"repair-snapshots", map[string]any{"forget": true}},
	} {
		was := n.files()
		n.must(spool.Succeeded, "", order.operation, order.params)
		folder, err := upkeep.OpenFolder(n.folder, nil)
		if err != nil {
			t.Fatal(err)
		}
		copies, err := folder.Copies()
		folder.Close()
		copies = slices.DeleteFunc(copies, func(c upkeep.Copy) bool { return !c.Whole })
		if err != nil || len(copies) != i+1 || copies[i].Before != "repair" || copies[i].Files != len(was) {
			t.Fatalf("%s: %+v of %d files, %v", order.operation, copies, len(was), err)
		}
	}
}
