package runner

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"restic-manager/agent/spool"
	"restic-manager/restic/restictest"
)

// TestABackupOverTheQuotaIsRefusedAndWhatIsThereCanBeRead fills a rest-server that has a
// quota (ATK-13). It counts what it was given, and sees what goes from its folder only when
// it is started again.
func TestABackupOverTheQuotaIsRefusedAndWhatIsThereCanBeRead(t *testing.T) {
	t.Parallel()
	bins := restictest.Find(t, "testing") // of trixie tries for a minute
	p := newPlace(t, bins.Restic)
	server := restictest.StartRestServer(t, bins, restictest.WithQuota(4<<20))
	p.onStorage(server)
	p.initialise()
	big := filepath.Join(p.source, "big")
	writeFile(t, big, incompressible(2<<20))
	first := p.again()
	writeFile(t, big, incompressible(5<<19))
	got := p.do("backup", backupParams()).want(spool.Failed, "repository_full")
	if !strings.Contains(got.NextStep, "quota") || !strings.Contains(got.NextStep, "started anew") || got.RepositorySeen == "" {
		t.Errorf("next step %q, seen %q", got.NextStep, got.RepositorySeen)
	}
	// What is there can be read, and no lock is left.
	if list := p.snapshots(); len(list) != 1 || list[0].Id != first {
		t.Errorf("snapshots %+v", list)
	}
	if locks, _ := filepath.Glob(filepath.Join(p.storage, "locks", "*")); len(locks) != 0 {
		t.Errorf("left are the locks %v", locks)
	}
	done, _ := p.order("ls", map[string]any{"snapshot_id": first})
	done.want(spool.Succeeded, "")
	// Space that is made in the folder, where there is no quota, is not seen until then.
	forget := exec.CommandContext(t.Context(), bins.Restic, "forget", "--prune", "--no-cache", first)
	forget.Env = []string{"RESTIC_REPOSITORY=" + p.storage, "RESTIC_PASSWORD=" + password, "HOME=" + t.TempDir()}
	if out, err := forget.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.do("backup", backupParams()).want(spool.Failed, "repository_full")
	server.Stop()
	server.Start()
	p.do("backup", backupParams()).want(spool.Succeeded, "")
}
