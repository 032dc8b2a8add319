package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSchedulesThatRunResticWithoutUsAreFoundAndTheirSecretsNotTold(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const secret = "hunter2"
	put("etc/systemd/system/nightly.timer", "[Timer]\nOnCalendar=daily\nUnit=save.service\n")
	put("etc/systemd/system/timers.target.wants/nightly.timer", "")
	put("etc/systemd/system/save.service", "[Service]\nEnvironment=RESTIC_PASSWORD="+secret+"\nExecStart=/opt/save --all\n")
	put("opt/save", "#!/bin/sh\nexec restic backup /home\n")
	put("usr/lib/systemd/system/restic-idle.timer", "[Timer]\nOnCalendar=daily\n") // not enabled
	put("usr/lib/systemd/system/restic-idle.service", "[Service]\nExecStart=restic backup /\n")
	put("etc/systemd/system/multi-user.target.wants/restic-manager-agent.service", "")
	put("etc/systemd/system/restic-manager-agent.service", "[Service]\nExecStart=/usr/local/bin/restic-manager-agent run\n")
	put("etc/systemd/system/multi-user.target.wants/rest-server.service", "")
	put("etc/systemd/system/rest-server.service", "[Service]\nExecStart=/usr/bin/restic-rest-server --append-only\n")
	put("home/ana/.config/systemd/user/timers.target.wants/mine.timer", "")
	put("home/ana/.config/systemd/user/mine.timer", "[Timer]\n")
	put("home/ana/.config/systemd/user/mine.service", "[Service]\nExecStart=/usr/bin/resticprofile run\n")
	put("etc/crontab", "# restic backup\nRESTIC_REPOSITORY=/srv\n\n0 3 * * * root RESTIC_PASSWORD="+secret+" restic backup /etc\n0 4 * * * root /bin/true\n")
	put("var/spool/cron/crontabs/root", "@daily /opt/save\n")
	put("etc/cron.daily/backup", "#!/bin/sh\nrestic backup /\n")
	put("etc/cron.weekly/other", "#!/bin/sh\n# once it was restic\ntrue\n")
	put("Windows/System32/Tasks/Nightly", "<\x00r\x00e\x00s\x00t\x00i\x00c\x00.\x00e\x00x\x00e\x00")

	got := FindOthers(root)
	want := []Other{
		{"systemd starts nightly.timer by itself (/etc/systemd/system/nightly.timer)", "switch it off with: systemctl disable --now nightly.timer"},
		{"systemd starts mine.timer by itself (/home/ana/.config/systemd/user/mine.timer)", "switch it off with: as ana: systemctl --user disable --now mine.timer"},
		{"cron runs restic by line 4 of /etc/crontab", "put a # before that line"},
		{"cron runs restic by line 1 of /var/spool/cron/crontabs/root", "put a # before that line"},
		{"cron runs restic by the script /etc/cron.daily/backup", "switch it off with: chmod -x /etc/cron.daily/backup"},
		{`the Task Scheduler runs restic by \Nightly`, `switch it off with: schtasks /Change /Disable /TN "\Nightly"`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, other := range got {
		if strings.Contains(other.Says+other.Next, secret) {
			t.Errorf("a secret is told: %v", other)
		}
	}
	if none := FindOthers(t.TempDir()); len(none) != 0 {
		t.Errorf("found %v in nothing", none)
	}
}
