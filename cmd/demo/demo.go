package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/crypto/bcrypt"
)

// demo brings the parts up one after the other.
type demo struct {
	options
	family *family
	out    io.Writer

	api          *client
	password     string // of the account "admin"
	restURL      string
	restPassword string // of rest-server's user "demo"
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) bringUp(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.restServer, d.server, d.setUp} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	repository, err := d.addRepository(ctx)
	if err != nil {
		return err
	}
	host, schedule, err := d.addHost(ctx, repository)
	if err != nil {
		return err
	}
	if err := d.backUp(ctx, host, schedule); err != nil {
		return err
	}
	if err := d.maintain(ctx, repository, host); err != nil {
		return err
	}
	d.say("\nOpen      %s", d.api.base)
	d.say("Name      admin")
	d.say("Password  %s", d.password)
	d.say("\nThe agent's commands, such as doctor, find it with: export RM_AGENT_CONFIG=%s", filepath.Join(d.data, "agent", "agent.yaml"))
	d.say("Next: press “Run now” on the host's page and watch it. Then save the repository's recovery sheet.")
	return nil
}

// restServer starts rest-server as we advise it: nobody can delete, and each user
// sees their own repositories alone.
func (d *demo) restServer(ctx context.Context) error {
	program, err := found(d.restic, "rest-server", "restic-rest-server")
	if err != nil {
		return err
	}
	addr, err := freeAddr("127.0.0.1:8000")
	if err != nil {
		return err
	}
	d.restPassword = secret()
	hash, err := bcrypt.GenerateFromPassword([]byte(d.restPassword), bcrypt.DefaultCost)
	if err != nil {
		return err
	}
	users := filepath.Join(d.data, "htpasswd")
	if err := os.WriteFile(users, fmt.Appendf(nil, "demo:%s\n", hash), 0o600); err != nil {
		return err
	}
	d.restURL = "http://" + addr
	d.say("rest-server     %s, append-only", d.restURL)
	err = d.family.start("rest-server", nil, program, "--listen", addr, "--path", filepath.Join(d.data, "repositories"),
		"--htpasswd-file", users, "--append-only", "--private-repos")
	if err != nil {
		return err
	}
	return d.family.until(ctx, "wait for rest-server", 20*time.Second, func(context.Context) bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (d *demo) server(ctx context.Context) error {
	addr, err := freeAddr(d.listen)
	if err != nil {
		return err
	}
	base := "http://" + addr
	d.api = newClient(base)
	d.say("server          %s", base)
	err = d.family.start("server", nil, filepath.Join(d.bin, "restic-manager"), "serve",
		"--listen", addr, "--public-url", base, "--data-dir", d.serverData())
	if err != nil {
		return err
	}
	return d.family.until(ctx, "wait for the server", 60*time.Second, func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
		if err != nil {
			return false
		}
		res, err := d.api.http.Do(req)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

func (d *demo) serverData() string { return filepath.Join(d.data, "server") }

// setUp makes the first account with the one-time code, as a person would.
func (d *demo) setUp(ctx context.Context) error {
	code, err := os.ReadFile(filepath.Join(d.serverData(), "setup-code"))
	if err != nil {
		return err
	}
	d.password = secret()
	return d.api.call(ctx, http.MethodPost, "/api/v1/setup", map[string]string{
		"code": strings.TrimSpace(string(code)), "name": "admin", "password": d.password,
	}, nil)
}

func (d *demo) location() string { return "rest:" + d.restURL + "/demo/this-machine/" }

func (d *demo) addRepository(ctx context.Context) (id string, err error) {
	var made struct{ ID string }
	err = d.api.call(ctx, http.MethodPost, "/api/v1/repositories", map[string]any{
		"name": "demo", "location": d.location(), "username": "demo", "append_secret": d.restPassword,
	}, &made)
	return made.ID, err
}

// addHost makes the host, pastes its line into a shell and starts the agent.
func (d *demo) addHost(ctx context.Context, repository string) (host, schedule string, err error) {
	var made struct {
		Host, Schedule struct{ ID string }
		Enrolment      struct {
			Line string `json:"enroll_linux"`
		}
	}
	err = d.api.call(ctx, http.MethodPost, "/api/v1/hosts", map[string]any{
		"name": "this-machine", "repository_id": repository, "paths": []string{d.source},
	}, &made)
	if err != nil {
		return "", "", err
	}
	env, err := d.agentEnv()
	if err != nil {
		return "", "", err
	}
	paste := exec.CommandContext(ctx, "/bin/sh", "-c", made.Enrolment.Line)
	paste.Env = append(os.Environ(), append(env, "PATH="+d.bin+string(os.PathListSeparator)+os.Getenv("PATH"))...)
	if said, err := paste.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("enrol the agent: %w\n%s", err, said)
	}
	d.say("agent           this-machine, enrolled by the pasted line")
	if err := d.family.start("agent", env, filepath.Join(d.bin, "restic-manager-agent"), "run", "--first-contact", "0s"); err != nil {
		return "", "", err
	}
	err = d.family.until(ctx, "wait for the agent", 60*time.Second, func(ctx context.Context) bool {
		var seen struct{ Presence string }
		return d.api.call(ctx, http.MethodGet, "/api/v1/hosts/"+made.Host.ID, nil, &seen) == nil && seen.Presence == "online"
	})
	return made.Host.ID, made.Schedule.ID, err
}

// agentEnv keeps everything of the agent below the demo's directory.
func (d *demo) agentEnv() ([]string, error) {
	restic, err := found(d.restic, "restic")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(d.data, "agent")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return []string{
		"RM_AGENT_CONFIG=" + filepath.Join(dir, "agent.yaml"),
		"RM_AGENT_STATE_DIR=" + filepath.Join(dir, "state"),
		"RM_AGENT_POLICY=" + filepath.Join(dir, "policy.yaml"),
		"RM_AGENT_CACHE_DIR=" + filepath.Join(dir, "cache"),
		"RM_AGENT_RESTIC=" + restic,
	}, nil
}

// backUp runs the schedule and shows the job until it has ended.
func (d *demo) backUp(ctx context.Context, host, schedule string) error {
	var job struct {
		ID, State string
		Version   int64
		Progress  struct{ Percent float64 }
		Outcome   struct {
			Result, Message string
			SnapshotID      string `json:"snapshot_id"`
			Stats           struct {
				Files int64 `json:"files_processed"`
				Bytes int64 `json:"bytes_processed"`
			}
		}
	}
	err := d.api.call(ctx, http.MethodPost, "/api/v1/hosts/"+host+"/schedules/"+schedule+"/run", map[string]any{}, &job)
	if err != nil {
		return err
	}
	d.say("backup          %s", d.source)
	end := time.Now().Add(10 * time.Minute)
	for job.State != "finished" {
		if time.Now().After(end) {
			return errors.New("the backup did not end within 10 minutes")
		}
		path := fmt.Sprintf("/api/v1/jobs/%s?wait=20&if_version=%d", job.ID, job.Version)
		if err := d.api.call(ctx, http.MethodGet, path, nil, &job); err != nil {
			return err
		}
		fmt.Fprintf(d.out, "\r                %-12s %3.0f %%", job.State, job.Progress.Percent)
	}
	o := job.Outcome
	d.say("\r                %s: %s files, %s, snapshot %.8s", o.Result,
		humanize.Comma(o.Stats.Files), humanize.IBytes(uint64(o.Stats.Bytes)), o.SnapshotID)
	if o.Result != "succeeded" {
		return fmt.Errorf("the first backup ended as %s: %s", o.Result, o.Message)
	}
	return nil
}

// maintain lets the agent do what deletes, as on a machine that runs rest-server: root
// there consents in the policy file, and an admin names the host.
func (d *demo) maintain(ctx context.Context, repository, host string) error {
	env, err := d.agentEnv()
	if err != nil {
		return err
	}
	folder := filepath.Join(d.data, "repositories", "demo", "this-machine")
	allow := exec.CommandContext(ctx, filepath.Join(d.bin, "restic-manager-agent"), "policy", "allow", "maintenance", "--under", folder)
	allow.Env = append(os.Environ(), env...)
	if said, err := allow.CombinedOutput(); err != nil {
		return fmt.Errorf("let the agent maintain the repository: %w\n%s", err, said)
	}
	err = d.api.call(ctx, http.MethodPut, "/api/v1/repositories/"+repository+"/maintenance-host", map[string]string{
		"host_id": host, "location": folder,
	}, nil)
	if err == nil {
		d.say("maintenance     this-machine, in the repository's own folder")
	}
	return err
}

// found gives the path of the first of the names in dir, else on PATH.
func found(dir string, names ...string) (string, error) {
	for _, name := range names {
		p := filepath.Join(dir, name)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	for _, name := range names {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("no %s in %s nor on PATH: on Debian run .ci/fetch-restic trixie .cache/restic/trixie, elsewhere install restic 0.18.0 or newer and rest-server", names[0], dir)
}

// secret makes a password of 120 random bits.
func secret() string {
	b := make([]byte, 15)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
