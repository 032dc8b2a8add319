//go:build !windows

package e2e_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/google/uuid"
)

// An order is one command that no honest server gives.
type order struct {
	kind string // of attack, for the count
	with obj    // members of the command that differ from an honest one's
	must fate
}

// fate is what must come of an order.
type fate int

const (
	refused fate = iota // a result that is rejected or failed, with a code
	data                // it looks hostile and is only data: the job may well succeed
	passed              // nothing: no job is made of it
)

const (
	evilSchedule   = "22222222-2222-4222-8222-222222222222"
	evilRepository = "11111111-1111-4111-8111-111111111111"
)

var backupOrder = obj{"schedule_id": evilSchedule, "schedule_version": 1}

// poison is what would run touch if it got into an argument, a shell or a program's
// options, and what would mean another thing than it seems to.
func poison(canary string) []string {
	run := "touch " + canary
	return []string{
		"--password-command=" + run, "--password-command", "-o", "-osftp.command=" + run, "--option=rclone.program=" + run, "--", "-",
		"--stdin-from-command", "--files-from=/etc/shadow", "$(" + run + ")", "`" + run + "`", "; " + run, "| " + run, "&& " + run,
		"\n" + run, "x\n--password-command=" + run, "x\x00--password-command=" + run, "\r\n", "\x1b]0;x\x07", "../../../../etc/cron.d/x", "/etc/cron.d/../x",
		"*", "{a,b}", "%s%n%x", "%2e%2e%2f", "\u202etxt.exe", "=1+1", "<img src=x onerror=alert(1)>", "' OR 1=1 --", "${IFS}", "$HOME", "~root",
		`C:\Windows\System32`, `\\evil\share`, `\\?\C:\`, "null", "[]", strings.Repeat("A", 100_000), "",
	}
}

// orders are commands that the agent must refuse whatever its configuration is.
func orders(canary string) []order {
	var list []order
	add := func(kind string, must fate, with ...obj) {
		for _, w := range with {
			list = append(list, order{kind, w, must})
		}
	}
	add("unknown operation", refused, unknownOperations(canary)...)
	add("deleting operation", refused, deletingOperations()...)
	for _, kind := range append([]string{"exec", "shell", "update", "policy", "hook", "reboot", "RUN", "run ", "run\n", "config"}, poison(canary)[:8]...) {
		add("unknown kind", refused, obj{"kind": kind, "params": obj{"cmd": "touch " + canary}})
	}
	add("extra member", refused, extraMembers(canary)...)
	add("restore", refused, evilRestores(canary)...)
	add("wrong type", refused, wrongTypes(canary)...)
	add("not in force", refused,
		obj{"params": obj{"schedule_id": evilSchedule, "schedule_version": 2}},
		obj{"params": obj{"schedule_id": evilSchedule, "schedule_version": 1 << 53}},
		obj{"params": obj{"schedule_id": evilRepository, "schedule_version": 1}},
		obj{"operation": "init", "params": obj{"repository_id": evilSchedule}})
	for _, id := range append([]any{"", "x", "../../x", strings.ToUpper(uuid.NewString()), uuid.NewString() + "\n", strings.Repeat("0", 36)}, asAny(poison(canary)[:6])...) {
		add("id that is none", passed, obj{"job_id": id, "params": backupOrder}, obj{"id": id, "params": backupOrder})
	}
	for _, epoch := range []int64{-1, math.MinInt64, math.MaxInt64} {
		add("impossible epoch", passed, obj{"epoch": epoch, "params": backupOrder})
	}
	for _, id := range []any{uuid.NewString(), uuid.NewString(), "../x", "*"} {
		add("cancel of nothing", passed, obj{"kind": "cancel", "job_id": id})
	}
	return list
}

func asAny(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func unknownOperations(canary string) []obj {
	var list []obj
	for _, name := range append([]string{
		"exec", "shell", "sh", "run", "mount", "serve", "self-update", "generate", "cache", "options", "copy", "migrate", "version",
		"cat", "cat config", "key list", "list locks", "backup\n", " backup", "BACKUP", "../backup", "backup --stdin-from-command", "init;id",
		"backup\x00", "ｂackup", "__proto__", "hook", "update_agent", "policy",
	}, poison(canary)...) {
		list = append(list, obj{"operation": name, "params": obj{"repository_id": evilRepository, "args": []string{"-o", "sftp.command=touch " + canary}}})
	}
	return list
}

// deletingOperations are what an endpoint never does, asked for as well as can be.
func deletingOperations() []obj {
	var list []obj
	for operation, params := range map[string]obj{
		"forget":      {"repository_id": evilRepository, "keep_last": 1},
		"forget ids":  {"repository_id": evilRepository, "snapshot_ids": []string{strings.Repeat("a", 64)}},
		"prune":       {"repository_id": evilRepository, "max_unused": "0"},
		"unlock":      {"repository_id": evilRepository, "remove_all": true},
		"tag":         {"repository_id": evilRepository, "set": []string{"x"}},
		"rewrite":     {"repository_id": evilRepository, "forget": true, "exclude": []string{"*"}},
		"repair":      {"repository_id": evilRepository, "forget": true},
		"key add":     {"repository_id": evilRepository, "new_password": "x"},
		"key remove":  {"repository_id": evilRepository, "key_id": "all"},
		"key passwd":  {"repository_id": evilRepository},
		"delete":      {"repository_id": evilRepository},
		"maintenance": {"repository_id": evilRepository, "keep_daily": 0},
	} {
		list = append(list, obj{"operation": strings.TrimSuffix(operation, " ids"), "params": params})
	}
	return list
}

// extraMembers puts what would get through to restic beside params that are right.
func extraMembers(canary string) []obj {
	run := "touch " + canary
	var list []obj
	for operation, honest := range map[string]obj{
		"backup": backupOrder, "init": {"repository_id": evilRepository}, "identify": {"repository_id": evilRepository},
		"snapshots": {"repository_id": evilRepository}, "locks": {"repository_id": evilRepository},
		"restore": {"repository_id": evilRepository, "snapshot_id": evilSnapshot, "target": "staging"},
	} {

		for member, value := range map[string]any{
			"extra_args": []string{"-o", "sftp.command=" + run}, "args": []string{"--password-command=" + run}, "options": obj{"sftp.command": run},
			"cmd": run, "command": []string{"sh", "-c", run}, "hook": run, "pre_hook": run, "env": obj{"RESTIC_PASSWORD_COMMAND": run},
			"password_command": run, "repo": "rclone:x:", "location": "/tmp", "paths": []string{"/etc/shadow"}, "excludes": []string{"*"},
			"host": "-o", "tags": []string{"x"}, "stdin_from_command": run, "--password-command": run, "-o": "x", "__proto__": obj{"admin": true},
			"Schedule_ID": evilSchedule, "repository_id\x00": evilRepository, strings.Repeat("x", 50_000): 1,
		} {
			if operation == "restore" && member == "paths" {
				continue // it has them
			}
			params := obj{member: value}
			for name, v := range honest {
				params[name] = v
			}
			list = append(list, obj{"operation": operation, "params": params})
		}
	}
	return list
}

// evilSnapshot is what no repository has.
var evilSnapshot = strings.Repeat("e", 64)

// evilRestores would overwrite what runs as root, or hand an option to restic.
func evilRestores(canary string) []obj {
	var list []obj
	add := func(target, snapshot string, more obj) {
		params := obj{"repository_id": evilRepository, "snapshot_id": snapshot, "target": target}
		for name, value := range more {
			params[name] = value
		}
		list = append(list, obj{"operation": "restore", "params": params})
	}
	for _, target := range append(poison(canary)[:30], "/", "/etc", "/etc/cron.d", "in_place/", "IN_PLACE", "staging/../..", `C:\Windows`, `\\host\share`) {
		add(target, evilSnapshot, nil)
	}
	for _, path := range []string{
		"/", "/etc", "/etc/cron.d/x", "/etc/passwd", "/root/.ssh/authorized_keys", "/usr/bin/restic", "/proc/self/mem", "/dev/sda", "/home", "/tmp", "/C/Windows", "/var/spool/cron",
	} {
		add("in_place", evilSnapshot, obj{"paths": []string{path}})
		add("in_place", evilSnapshot, obj{"paths": []string{path}, "overwrite": "always", "dry_run": true})
	}
	add("in_place", evilSnapshot, nil)
	for _, path := range append(poison(canary)[:24], "..", "/..", "/../etc", "/a/../../etc", "/./a", "//a", "/a//b", "/a/", "/a\x00b", `\\host\share`, `C:\a`, "a/b", "") {
		add("staging", evilSnapshot, obj{"paths": []string{path}})
		add("in_place", evilSnapshot, obj{"paths": []string{path}})
	}
	for _, snapshot := range []string{"latest", "", "aaaaaaaa", "latest:/etc", evilSnapshot + ":/etc", strings.ToUpper(evilSnapshot), "--target=/", evilSnapshot + "\n"} {
		add("staging", snapshot, nil)
	}
	for name, value := range map[string]any{
		"overwrite": "--delete", "delete": true, "target_path": "/etc", "staging_dir": "/etc", "preserve_privileged": true, "run_as": "root", "verify": "--delete", "paths": "/etc",
	} {
		add("staging", evilSnapshot, obj{name: value})
	}
	return list
}

// wrongTypes are params whose members have other types or values than the contract's.
func wrongTypes(canary string) []obj {
	var list []obj
	for _, value := range append([]any{1, -1, 1.5, true, nil, []string{evilSchedule}, obj{"$ne": ""}, strings.ToUpper(evilSchedule) + " "}, asAny(poison(canary)[:12])...) {
		list = append(list,
			obj{"params": obj{"schedule_id": value, "schedule_version": 1}},
			obj{"operation": "snapshots", "params": obj{"repository_id": value}})
	}
	for _, version := range []any{"1", 0, -1, 1.5, 1e300, json.RawMessage("9223372036854775808"), json.RawMessage("-9223372036854775809"), nil, true, []int{1}, obj{}} {
		list = append(list, obj{"params": obj{"schedule_id": evilSchedule, "schedule_version": version}})
	}
	for _, params := range []any{
		nil, 1, "x", true, []any{}, []any{backupOrder}, "--password-command=touch " + canary,
		json.RawMessage(fmt.Sprintf(`{"schedule_id":%q,"schedule_id":%q,"schedule_version":1}`, evilSchedule, evilSchedule)),
		json.RawMessage(strings.Repeat(`{"schedule_id":`, 5000) + "1" + strings.Repeat("}", 5000)),
		json.RawMessage(strings.Repeat("[", 5000) + strings.Repeat("]", 5000)),
		obj{"schedule_id": strings.Repeat("0", 300<<10), "schedule_version": 1},
	} {
		list = append(list, obj{"params": params})
	}
	return list
}

// evilLocations run programs, leak something, or mean another place than they seem to.
func evilLocations(prefix, canary string) []string {
	run := "touch " + canary
	allowed := strings.TrimSuffix(prefix, "/")
	return []string{
		"", " ", "-", "--repo=x", "repo", "./repo", "../repo", "~/repo", "host:/path", "local:/srv/r", "file:///srv/r", "rclone:x:y", "rclone:",
		"sftp:user@host:/r", "sftp://host/r", "sftp:-oProxyCommand=" + run + ":/y", "s3:s3.amazonaws.com/b", "b2:bucket:p", "azure:c:/p", "gs:b:/p", "swift:c:/p",
		"REST:http://nas.test/", "rest:", "rest:nas.test/r", "rest:ftp://nas.test/", "rest:http:/nas.test/", "rest:http:///r", "rest:file:///etc",
		"rest:http+unix:///var/run/x.sock:/r", "rest:https://user:pass@nas.test/", "rest:https://nas.test@evil.test/", allowed + "/?x=1", allowed + "/#f",
		allowed + "/../../x", allowed + "/..", allowed + "/./x", allowed + "/%2e%2e/x", allowed + "/a%2fb", allowed + "//a", allowed + "/a\\..\\b",
		allowed + "/a b", allowed + "/ä", allowed + "/a|b`" + run + "`", allowed + "/\r\nX-Evil: 1", allowed + "\x00", " " + allowed, allowed + " ",
		"rest:https://nas.test:0/", "rest:https://nas.test:65536/", "rest:https://127.1/", "rest:https://2130706433/", "rest:https://0x7f000001/",
		"rest:https://[::ffff:127.0.0.1]/", "rest:https://[fe80::1%25eth0]/", "rest:https://näs.test/", "/srv/../etc", "//srv/r", "/srv//r", "/srv/r\n", "/srv/\x00",
		"C:r", `\\server\share\r`, `\\?\C:\r`, "rest:https://nas.test/" + strings.Repeat("a", 4096), run,
	}
}

// otherPlaces are locations in order that the policy of the host does not allow.
func otherPlaces(prefix string) []string {
	origin := strings.TrimSuffix(prefix, "allowed/")
	return []string{
		"/", "/etc", "/srv/restic", "/tmp/x", origin, origin + "allowed2/", origin + "allowed-evil/x/", origin + "Allowed/x/", origin + "x/allowed/",
		strings.Replace(prefix, "http:", "https:", 1), "rest:http://127.0.0.1/allowed/", "rest:http://127.0.0.1:1/allowed/", "rest:http://localhost:8000/allowed/",
		"rest:http://127.0.0.2:8000/allowed/", "rest:https://evil.test/allowed/", "rest:http://[::1]:8000/allowed/", `D:\restic`,
	}
}
