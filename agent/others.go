package agent

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Other is something on this machine that runs restic by a schedule of its own. It is
// told, never changed: whoever made it decides when it is no longer wanted.
type Other struct {
	Says string // what, and in which file; none of its text, which may hold a password
	Next string // how to switch it off
}

// FindOthers looks for schedules below root, which is / but for tests. What it may
// not read, it passes over.
func FindOthers(root string) []Other {
	search := others{root: root}
	search.units()
	search.cron()
	search.tasks()
	return search.found
}

type others struct {
	root  string
	found []Other
}

func (o *others) add(says, next string, args ...any) {
	o.found = append(o.found, Other{fmt.Sprintf(says, args...), next})
}

// glob gives what is there, as it is called on the machine and in order.
func (o *others) glob(pattern string) []string {
	paths, _ := filepath.Glob(filepath.Join(o.root, pattern)) // the patterns are good
	for i, path := range paths {
		paths[i] = "/" + strings.TrimPrefix(filepath.ToSlash(strings.TrimPrefix(path, filepath.Clean(o.root))), "/")
	}
	slices.Sort(paths)
	return paths
}

const maxSchedule = 256 << 10

// read gives the text of a small regular file, and nothing of any other.
func (o *others) read(path string) string {
	path = filepath.Join(o.root, path)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSchedule {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSchedule))
	if err != nil {
		return ""
	}
	return string(text)
}

// notSchedules are programs with restic in their name that back nothing up, or are ours.
var notSchedules = strings.NewReplacer("restic-manager", "", "restic-rest-server", "", "rest-server", "")

func namesRestic(text string) bool {
	text = notSchedules.Replace(strings.ToLower(text))
	return strings.Contains(text, "restic") || strings.Contains(text, "backrest")
}

var pathInText = regexp.MustCompile(`/[A-Za-z0-9._/@+-]+`)

// runsRestic reports whether a command is restic, or a script that names it.
func (o *others) runsRestic(command string) bool {
	if namesRestic(command) {
		return true
	}
	for _, path := range pathInText.FindAllString(command, 8) {
		if text := o.read(path); strings.HasPrefix(text, "#!") && namesRestic(withoutComments(text)) {
			return true
		}
	}
	return false
}

func withoutComments(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool {
		return strings.HasPrefix(strings.TrimSpace(line), "#")
	}), "\n")
}

// units looks for the timers and services of systemd that begin by themselves.
func (o *others) units() {
	said := map[string]bool{}
	look := func(links []string, folders []string, systemctl string) {
		for _, link := range links {
			name := filepath.Base(link)
			path, text := o.unit(name, append([]string{filepath.Dir(filepath.Dir(link))}, folders...))
			if path == "" || said[systemctl+name] || strings.HasPrefix(name, "restic-manager") {
				continue
			}
			if !o.unitRuns(name, text, append([]string{filepath.Dir(path)}, folders...)) {
				continue
			}
			said[systemctl+name] = true
			o.add("systemd starts %s by itself (%s)", "switch it off with: "+systemctl+" disable --now "+name, name, path)
		}
	}
	system := []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
	for _, folder := range system {
		look(o.glob(folder+"/*.wants/*.timer"), system, "systemctl")
		look(o.glob(folder+"/*.wants/*.service"), system, "systemctl")
	}
	for _, home := range append(o.glob("/home/*"), "/root") {
		folder := home + "/.config/systemd/user"
		look(append(o.glob(folder+"/*.wants/*.timer"), o.glob(folder+"/*.wants/*.service")...), []string{folder},
			"as "+filepath.Base(home)+": systemctl --user")
	}
}

// unit finds the file of a unit and its text without comments.
func (o *others) unit(name string, folders []string) (path, text string) {
	for _, folder := range folders {
		if text := o.read(folder + "/" + name); text != "" {
			return folder + "/" + name, withoutComments(text)
		}
	}
	return "", ""
}

func (o *others) unitRuns(name, text string, folders []string) bool {
	if strings.HasSuffix(name, ".timer") {
		service := strings.TrimSuffix(name, ".timer") + ".service"
		if unit := regexp.MustCompile(`(?m)^\s*Unit\s*=\s*(\S+)`).FindStringSubmatch(text); unit != nil {
			service = unit[1]
		}
		_, text = o.unit(service, folders)
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "Exec") && o.runsRestic(line) {
			return true
		}
	}
	return false
}

// cron looks at every table of cron, and at the scripts that it runs by folder.
func (o *others) cron() {
	tables := []string{"/etc/crontab", "/etc/anacrontab"}
	for _, pattern := range []string{"/etc/cron.d/*", "/var/spool/cron/crontabs/*", "/var/spool/cron/*", "/etc/crontabs/*"} {
		tables = append(tables, o.glob(pattern)...)
	}
	for _, table := range tables {
		for i, line := range strings.Split(o.read(table), "\n") {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "#") || assignment.MatchString(line) || !o.runsRestic(line) {
				continue
			}
			o.add("cron runs restic by line %d of %s", "put a # before that line", i+1, table)
		}
	}
	for _, pattern := range []string{"/etc/cron.*/*", "/etc/periodic/*/*"} {
		for _, script := range o.glob(pattern) {
			if strings.HasPrefix(script, "/etc/cron.d/") || !namesRestic(withoutComments(o.read(script))) {
				continue
			}
			o.add("cron runs restic by the script %s", "switch it off with: chmod -x "+script, script)
		}
	}
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\s*=`)

// tasks looks at what the Task Scheduler of Windows runs. Its files are UTF-16.
func (o *others) tasks() {
	for _, pattern := range []string{"/Windows/System32/Tasks/*", "/Windows/System32/Tasks/*/*"} {
		for _, task := range o.glob(pattern) {
			if text := strings.ReplaceAll(o.read(task), "\x00", ""); namesRestic(text) {
				name := strings.ReplaceAll(strings.TrimPrefix(task, "/Windows/System32/Tasks"), "/", `\`)
				o.add("the Task Scheduler runs restic by %s", `switch it off with: schtasks /Change /Disable /TN "`+name+`"`, name)
			}
		}
	}
}
