//go:build !windows

package e2e_test

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// evilConfig is a configuration with one repository and one schedule, all in order.
func evilConfig(host, location string) obj {
	return obj{
		"host_id": host, "snapshot_host": "web-1",
		"repositories": []obj{repositoryAt(evilRepository, location)},
		"schedules":    []obj{scheduleOf(evilSchedule, obj{})},
	}
}

func repositoryAt(id, location string) obj {
	return obj{
		"id": id, "name": "nas", "location": location,
		"password":   obj{"id": "aaaaaaaa" + id[8:], "version": 1},
		"credential": obj{"id": "bbbbbbbb" + id[8:], "version": 1},
	}
}

func scheduleOf(id string, with obj) obj {
	s := obj{
		"id": id, "version": 1, "name": "daily", "repository_id": evilRepository, "paths": []string{"/etc/hostname"},
		"excludes": []string{}, "tags": []string{}, "manual": true, "enabled": true,
	}
	for name, value := range with {
		s[name] = value
	}
	return s
}

// An offering is a configuration that must be refused as a whole.
type offering struct {
	kind  string
	spoil func(c obj)
}

func offerings(prefix, canary string) []offering {
	var list []offering
	for _, location := range evilLocations(prefix, canary) {
		list = append(list, offering{"location", func(c obj) { c["repositories"] = []obj{repositoryAt(evilRepository, location)} }})
	}
	for _, host := range append(poison(canary), "-o", "web_1.", "a/b", "web 1", "web-1\n") {
		if host == "null" {
			continue // a name like any other
		}
		list = append(list, offering{"snapshot host", func(c obj) { c["snapshot_host"] = host }})
	}
	for _, host := range []string{"", uuid.NewString(), "../x", "*"} {
		list = append(list, offering{"another host's", func(c obj) { c["host_id"] = host }})
	}
	return append(list,
		offering{"no repository", func(c obj) { c["repositories"] = []obj{} }},
		offering{"no repository", func(c obj) {
			c["schedules"] = []obj{scheduleOf(evilSchedule, obj{"repository_id": uuid.NewString()})}
		}},
		offering{"10 000 schedules", func(c obj) {
			many := make([]obj, 10_000)
			for i := range many {
				many[i] = scheduleOf(uuid.NewString(), obj{})
			}
			c["schedules"] = many
		}},
		offering{"20 000 mistakes", func(c obj) {
			many := make([]obj, 20_000)
			for i := range many {
				many[i] = repositoryAt(uuid.NewString(), "rclone:x:")
			}
			c["repositories"] = many
		}})
}

// carried are orders that come with a schedule or a repository of their own; all of
// them are in force at once.
type carried struct {
	order
	schedule   obj // members of the schedule
	repository obj // members of the repository, which is the schedule's or the order's
	operation  string
	secrets    map[string]obj // of "password" and "credential"
}

func carriedOrders(prefix, canary, state string) []carried {
	var list []carried
	backup := func(kind string, must fate, schedules ...obj) {
		for _, s := range schedules {
			list = append(list, carried{order: order{kind: kind, must: must}, schedule: s, operation: "backup"})
		}
	}
	for _, path := range []string{
		"", "home", "-", "--files-from=/etc/shadow", "--password-command=touch " + canary, "~", "$HOME", "@/etc/shadow", `C:\Users`, `\\evil\share`, "/x\x00y",
		state, state + "/", state + "/secrets.sealed", state + "/../" + state[strings.LastIndexByte(state, '/')+1:], "/" + strings.Repeat("x", 33<<10),
	} {
		backup("path", refused, obj{"paths": []string{path}}, obj{"paths": []string{"/etc/hostname", path}})
	}
	backup("path", refused, obj{"paths": []string{}})
	for _, text := range poison(canary) {
		if !strings.ContainsRune(text, 0) && len(text) < 1000 {
			backup("path that is a name", data, obj{"paths": []string{"/nowhere/" + text}})
		}
		backup("name of a schedule", data, obj{"name": text})
	}
	for _, pattern := range []string{"", "!", "a\nb", "a\x00b", "a\r", " a", "a\t", "[", "x\n--password-command=touch " + canary, strings.Repeat("x", 33<<10)} {
		backup("exclude", refused, obj{"excludes": []string{pattern}})
	}
	for _, pattern := range []string{"--password-command=touch " + canary, "$(touch " + canary + ")", "$HOME", "#x", "-o", "*", "**"} {
		backup("exclude that is a pattern", data, obj{"excludes": []string{pattern}})
	}
	backup("exclude", refused, obj{"excludes": strings.Split(strings.Repeat("x ", 1000)+"x", " ")})
	for _, tag := range append(poison(canary), "a,b", "rm:job:x", "RM:schedule:x", "rm:", "a b", "ä", strings.Repeat("x", 65)) {
		if tag != "null" && tag != "--" && tag != "-" && tag != "-o" && tag != "--password-command" && tag != "--stdin-from-command" {
			backup("tag", refused, obj{"tags": []string{tag}})
		} else {
			backup("tag that is a word", data, obj{"tags": []string{tag}})
		}
	}
	for _, name := range append(poison(canary), "/bin/sh", "../../../bin/sh", "../policy.yaml", "sh", "sh -c touch", "touch "+canary, ".", "..", "hooks.d") {
		if name == "" {
			continue // none
		}
		backup("hook before", refused, obj{"options": obj{"hooks": obj{"before": name}}})
		backup("hook afterwards", data, obj{"options": obj{"hooks": obj{"after_success": name, "after_failure": name, "timeout_s": -1}}},
			obj{"options": obj{"hooks": obj{"before": name, "before_failure": "go_on"}}})
		backup("named source", refused, obj{"source": name, "paths": []string{}}, obj{"source": name})
	}
	for i, location := range otherPlaces(prefix) {
		for _, operation := range []string{"backup", "init", "identify", "snapshots", "locks"}[i%3 : i%3+3] {
			list = append(list, carried{order: order{kind: "another place", must: refused}, repository: obj{"location": location}, operation: operation})
		}
	}
	for _, id := range []string{"--password-command=touch " + canary, "-o", "xyz", strings.Repeat("a", 65), "aaaaaaa", "\n", "aaaaaaaa\x00"} {
		list = append(list, carried{order: order{kind: "key id", must: refused}, repository: obj{"key_id": id}, operation: "snapshots"})
	}
	list = append(list,
		carried{order: order{kind: "another repository there", must: refused}, repository: obj{"restic_id": strings.Repeat("a", 64)}, operation: "backup"},
		carried{order: order{kind: "made anew", must: refused}, repository: obj{"restic_id": fakeRepository}, operation: "init"})
	return append(list, carriedSecrets()...)
}

// carriedSecrets are secrets that would break out of where they are put.
func carriedSecrets() []carried {
	var list []carried
	add := func(must fate, slot string, value obj) {
		list = append(list, carried{
			order: order{kind: "secret", must: must}, operation: "snapshots", repository: obj{}, secrets: map[string]obj{slot: value},
		})
	}
	for _, text := range []string{"", "x\x00y", "\x00"} {
		add(refused, "password", obj{"value": text})
	}
	for _, text := range []string{"x\nRESTIC_PASSWORD_COMMAND=id", "--password-command=id", "$(id)", " ", strings.Repeat("p", 1<<20), "[redacted]"} {
		add(data, "password", obj{"value": text})
	}
	for _, text := range []string{"x\r\nX-Evil: 1", "x\x00", "\n"} {
		add(refused, "credential", obj{"username": "u", "value": text})
		add(refused, "credential", obj{"username": text, "value": "x"})
	}
	add(refused, "credential", obj{"username": "a:b", "value": "x"})
	for i, other := range []obj{{"id": uuid.NewString()}, {"version": 2}, {"version": -1}} {
		add(refused, []string{"password", "credential"}[i%2], other)
	}
	return list
}

// large are configurations in order whose size is the attack.
func large(host, location string) []obj {
	paths := make([]string, 100_000)
	for i := range paths {
		paths[i] = fmt.Sprintf("/nowhere/%d", i)
	}
	many := evilConfig(host, location)
	schedules := []obj{scheduleOf(evilSchedule, obj{})}
	for range 999 {
		schedules = append(schedules, scheduleOf(uuid.NewString(), obj{}))
	}
	many["schedules"] = schedules
	long := evilConfig(host, location)
	long["schedules"] = []obj{scheduleOf(evilSchedule, obj{"paths": paths})}
	return []obj{many, long}
}
