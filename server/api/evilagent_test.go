package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
)

// hostileValues are put in the place of every value that an agent may send.
func hostileValues() []any {
	return []any{
		nil, "", "\x00", "<script>alert(1)</script>\u202e\x1b[2J", strings.Repeat("x", 100_000), true, []any{}, obj{}, []any{"x", 1, nil},
		-1, 0, int64(1) << 53, json.RawMessage("9223372036854775807"), json.RawMessage("-9223372036854775808"),
		json.RawMessage("9223372036854775808"), json.RawMessage("1e308"), json.RawMessage("1e999"), json.RawMessage("1.5"),
		"0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "NaN", json.RawMessage(strings.Repeat("[", 9000) + strings.Repeat("]", 9000)),
	}
}

// leaves gives the way to every value of a document: members and numbers of entries.
func leaves(doc any, way []any) (ways [][]any) {
	switch v := doc.(type) {
	case map[string]any:
		for name, member := range v {
			ways = append(ways, leaves(member, append(slices.Clone(way), name))...)
		}
	case []any:
		for i, entry := range v {
			ways = append(ways, leaves(entry, append(slices.Clone(way), i))...)
		}
	}
	if len(way) > 0 {
		ways = append(ways, way)
	}
	return ways
}

// spoilt is a copy of a document with another value at the end of a way.
func spoilt(doc any, way []any, value any) any {
	if len(way) == 0 {
		return value
	}
	switch v := doc.(type) {
	case map[string]any:
		other := map[string]any{}
		for name, member := range v {
			other[name] = member
			if name == way[0] {
				other[name] = spoilt(member, way[1:], value)
			}
		}
		return other
	case []any:
		other := slices.Clone(v)
		i := way[0].(int)
		other[i] = spoilt(v[i], way[1:], value)
		return other
	}
	return doc
}

// decodedJSON makes a document of values of any type.
func decodedJSON(t *testing.T, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// fullItem is a report's item with everything that one can hold.
func fullItem(t *testing.T, job string) obj {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf(`{"t":%d,"s":"o","m":"a line"}`+"\n", time.Now().UnixMicro())
	id := strings.ReplaceAll(job, "-", "")
	at := "2026-01-02T03:04:05Z"
	snapshot := obj{"id": id + id, "time": at, "hostname": "h", "username": "u", "paths": []string{"/x"}, "tags": []string{"t"}, "tree": "t", "parent": "p",
		"program_version": "v", "files": 1, "bytes": 1, "bytes_added": 1}
	return obj{
		"job_id": job, "epoch": 1, "writer_id": writer, "phase": "finished",
		"opened": obj{"operation": "backup", "trigger": "schedule", "at": at, "slot": at, "schedule_id": fleet.NewID[string](),
			"schedule_version": 1, "repository_id": fleet.NewID[string]()},
		"events": []obj{
			{"seq": 1, "at": at, "attempt": 1, "kind": "waiting", "message": "on something"},
			{"seq": 2, "at": at, "attempt": 1, "kind": "gap", "gap": obj{"stream": "log", "first_seq": 2, "last_seq": 3, "lines": 1, "bytes": 1, "reason": "r"}},
			{"seq": 3, "at": at, "attempt": 1, "kind": "running"},
			{"seq": 4, "at": at, "attempt": 1, "kind": "finished", "snapshot": snapshot, "outcome": obj{
				"result": "warning", "code": "c", "message": "m", "next_step": "n", "restic_exit_code": 3, "snapshot_id": id + id, "confirmed": true,
				"stats":    obj{"files_new": 1, "bytes_processed": 1, "data_added": 1},
				"warnings": []obj{{"path": "/x", "message": "m", "during": "scan"}}, "warnings_total": 1,
				"repository": obj{"restic_id": id + id, "key_id": id + id, "format_version": 2, "key_count": 1}, "can_delete": "no",
				"locks":       []obj{{"id": id + id, "hostname": "h", "username": "u", "pid": 1, "exclusive": true, "created_at": at}},
				"duration_ms": 1,
			}},
		},
		"log": []obj{{"seq": 1, "first_line": 1, "lines": 1, "bytes": len(line), "from": at, "to": at,
			"data": base64.StdEncoding.EncodeToString(z.EncodeAll([]byte(line), nil))}},
		"progress": obj{"at": at, "percent": 1, "phase": "p", "files_done": 1, "files_total": 1, "bytes_done": 1, "bytes_total": 1, "errors": 0,
			"bytes_per_s": 1, "eta_s": 1, "current_files": []string{"/x"}},
	}
}

// TestReportsOfAHostileAgentAreTakenOrRefused puts each hostile value in the place of
// each value of a report. The server refuses it, or takes it and goes on to answer
// people by the contract; it never fails.
func TestReportsOfAHostileAgentAreTakenOrRefused(t *testing.T) {
	_, admin, a, _ := newAttending(t)
	counts := map[string]int{}
	ways := leaves(decodedJSON(t, fullItem(t, fleet.NewID[string]())), nil)
	for _, way := range ways {
		for _, value := range hostileValues() {
			job := fleet.NewID[string]()
			full := fullItem(t, job)
			if way[0] == "progress" { // which a finished job has none of
				full["events"] = full["events"].([]obj)[:3]
			}
			item := spoilt(decodedJSON(t, full), way, value)
			answer := a.do("POST", "/agent/v1/reports", obj{"session_id": a.session, "items": []any{item}})
			what := fmt.Sprint(answer.status)
			switch {
			case answer.status >= 500:
				t.Fatalf("%v as %.60v: %d %s", way, value, answer.status, answer.text)
			case answer.status >= 400:
				what += " " + answer.code()
			default:
				what += " " + into[api.ReportAnswer](answer).Items[0].Outcome
				admin.reads(job)
			}
			counts[what]++
		}
	}
	for _, path := range []string{"/api/v1/jobs", "/api/v1/hosts", "/api/v1/repositories", "/api/v1/overview", "/api/v1/snapshots", "/api/v1/changes"} {
		admin.must(http.StatusOK, "GET", path, nil) // compared with the contract
	}
	if counts["200 ok"] == 0 || counts["200 rejected"] == 0 || len(counts) < 4 {
		t.Errorf("the reports were not of all kinds: %v", counts)
	}
	t.Logf("%d ways, %v", len(ways), counts)
}

// reads looks at everything of a job that people can see; what is answered is
// compared with the contract.
func (c *client) reads(job string) {
	c.w.t.Helper()
	for _, path := range []string{"", "/events", "/log"} {
		if a := c.do("GET", "/api/v1/jobs/"+job+path, nil); a.status != http.StatusOK && a.status != http.StatusNotFound {
			c.w.t.Errorf("GET %s of a job: %d %s", path, a.status, a.text)
		}
	}
}

// TestWhatAHostileAgentTellsOfItselfIsTakenOrRefused does the same with the other
// things that an agent says.
func TestWhatAHostileAgentTellsOfItselfIsTakenOrRefused(t *testing.T) {
	_, admin, a, _ := newAttending(t)
	at := "2026-01-02T03:04:05Z"
	policy := obj{"state": "locked", "code": "c", "message": "m", "next_step": "n", "profile": "guarded", "digest": "d", "rules": []obj{{"name": "n", "value": "v"}}}
	health := []obj{{"code": "c", "message": "m", "next_step": "n"}}
	spool := obj{"bytes": 1, "jobs": 1, "oldest_at": at, "dropped_lines": 1}
	sync := a.syncBody(0)
	for name, value := range map[string]any{
		"policy": policy, "health": health, "spool": spool, "agent_time": at, "uptime_ms": 1,
		"config_error":  obj{"revision": 1, "code": "c", "message": "m"},
		"last_exchange": obj{"kind": "ok", "status": 200, "elapsed_ms": 1, "hold_s": 1, "message": "m"},
		"running":       []obj{{"job_id": fleet.NewID[string](), "epoch": 1, "phase": "running", "last_event_seq": 1}},
		"directives":    []obj{{"job_id": fleet.NewID[string](), "desired": "run", "detail": "full", "report_interval_ms": 1}},
	} {
		sync[name] = value
	}
	session := a.sessionBody()
	for name, value := range map[string]any{
		"policy": policy, "health": health, "spool": spool, "agent_time": at, "uptime_ms": 1, "restic_version": "1", "secret_store": "file",
		"capabilities": []string{"operation:backup"},
		"jobs": []obj{{"job_id": fleet.NewID[string](), "epoch": 1, "writer_id": writer, "phase": "running", "first_event_seq": 1, "next_event_seq": 2,
			"first_log_seq": 1, "next_log_seq": 2}},
	} {
		session[name] = value
	}
	counts := map[string]int{}
	for path, body := range map[string]obj{"/agent/v1/sync": sync, "/agent/v1/sessions": session} {
		for _, way := range leaves(decodedJSON(t, body), nil) {
			for _, value := range hostileValues() {
				if path == "/agent/v1/sync" {
					body["session_id"] = a.session
				}
				answer := a.do("POST", path, spoilt(decodedJSON(t, body), way, value))
				if answer.status >= 500 {
					t.Fatalf("%s %v as %.60v: %d %s", path, way, value, answer.status, answer.text)
				}
				counts[fmt.Sprint(path, " ", answer.status)]++
				if answer.status == http.StatusOK {
					admin.must(http.StatusOK, "GET", "/api/v1/hosts/"+a.host, nil)
				}
				a.open() // whatever became of the session and the counters
			}
		}
	}
	if counts["/agent/v1/sync 200"] == 0 || counts["/agent/v1/sessions 200"] == 0 {
		t.Errorf("nothing was taken: %v", counts)
	}
	t.Log(counts)
}
