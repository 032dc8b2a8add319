package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// cluster is a PostgreSQL that lives as long as the test process. It listens on
// loopback alone, wants a password and does not wait for the disk.
type cluster struct {
	dir      string
	port     int
	password string
	admin    *sql.DB
	postgres *exec.Cmd
	ended    chan error
}

// start finds PostgreSQL's binaries, makes a cluster and waits until it answers.
func start() (*cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "storetest-")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, password: rand.Text()}
	if err := c.boot(bin); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// binaries finds the folder with initdb and postgres: the newest version installed.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		return "", errors.New("initdb is neither in /usr/lib/postgresql/*/bin nor in PATH (Debian: apt-get install postgresql)")
	}
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

func version(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb)))) // 0 sorts first
	return n
}

func (c *cluster) boot(bin string) error {
	attr, err := c.unprivileged()
	if err != nil {
		return err
	}
	secret := filepath.Join(c.dir, "password")
	if err := os.WriteFile(secret, []byte(c.password), 0o600); err != nil {
		return err
	}
	if attr.Credential != nil {
		for _, path := range []string{c.dir, secret} {
			if err := os.Chown(path, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
				return err
			}
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", c.data(), "-U", "postgres", "-A", "password",
		"--pwfile="+secret, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = c.dir, attr
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := c.configure(); err != nil {
		return err
	}
	for range 3 { // another process may take the port that was found free
		if err = c.run(bin, attr); err == nil {
			return nil
		}
	}
	return err
}

// configure makes the cluster small and fast. It is in the file, not in arguments, so
// that ALTER SYSTEM can have it otherwise, as a measurement needs it.
func (c *cluster) configure() (err error) {
	f, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString("\nmax_connections = 300\nfsync = off\nfull_page_writes = off\nautovacuum = off\nshared_buffers = 64MB\n")
	return err
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// unprivileged says how to run PostgreSQL, which refuses root. It gets a signal when
// this process dies, however it dies.
func (c *cluster) unprivileged() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("root may not run PostgreSQL and the user postgres is missing: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, nil
}

// run starts the server and waits until it answers.
func (c *cluster) run(bin string, attr *syscall.SysProcAttr) error {
	var err error
	if c.port, err = freePort(); err != nil {
		return err
	}
	var log bytes.Buffer
	c.postgres = exec.Command(filepath.Join(bin, "postgres"), "-D", c.data(), "-p", strconv.Itoa(c.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
	c.postgres.Dir, c.postgres.SysProcAttr = c.dir, attr
	c.postgres.Stdout, c.postgres.Stderr = &log, &log
	started := make(chan error)
	c.ended = make(chan error, 1)
	go func() {
		// The signal comes when the thread dies that started the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.postgres.Start()
		started <- err
		if err == nil {
			c.ended <- c.postgres.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	if c.admin != nil { // of the port before
		if err := c.admin.Close(); err != nil {
			return err
		}
	}
	if c.admin, err = sql.Open("pgx", c.url("postgres")); err != nil {
		return err
	}
	return c.answers(&log)
}

func (c *cluster) answers(log *bytes.Buffer) error {
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-c.ended:
			c.postgres = nil
			return fmt.Errorf("postgres ended at once: %w: %s", err, log) // it has ended: nobody writes to log
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := c.admin.PingContext(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("postgres does not answer: %w", err)
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (c *cluster) url(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword("postgres", c.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (c *cluster) create(ctx context.Context, database, like string) error {
	_, err := c.admin.ExecContext(ctx, "CREATE DATABASE "+database+" TEMPLATE "+like)
	return err
}

func (c *cluster) drop(database string) error {
	_, err := c.admin.ExecContext(context.Background(), "DROP DATABASE "+database+" WITH (FORCE)")
	return err
}

// stop ends the server at once and removes its files.
func (c *cluster) stop() error {
	var err error
	if c.admin != nil {
		err = c.admin.Close()
	}
	if c.postgres != nil {
		err = errors.Join(err, c.postgres.Process.Signal(syscall.SIGQUIT))
		<-c.ended
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}
