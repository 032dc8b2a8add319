package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"restic-manager/agent/custody"
	"restic-manager/agent/secret"
	"restic-manager/agent/service"
)

// Installation is what an installer asks for: an enrolment, and what belongs to it.
type Installation struct {
	Enrolment

	// ResticFile is what the server calls the restic for this machine, and
	// ResticSHA256 its digest, by the enrolment line; empty: it has none. It is
	// fetched only where no restic can be used.
	ResticFile, ResticSHA256 string

	NoService bool // enrol, and leave it to somebody else to run the agent
}

// Install puts this program in its place, enrols this machine, and makes the agent a
// service that runs now and after each start of the machine. It can be repeated: what
// is done already is left as it is, and a service that runs is restarted only if
// something changed. Done is filled in as far as it came, also with an error.
func Install(ctx context.Context, i Installation) (Enrolled, error) {
	var result Enrolled
	config, err := i.settle()
	if err != nil {
		return result, err
	}
	var manager *service.Manager
	if !i.NoService {
		if manager, err = service.Open(); err != nil {
			return result, fmt.Errorf("%w: install it with --no-service, and run restic-manager-agent run by what you have", err)
		}
	}
	changed, err := placeProgram(service.Program(), &result)
	if err != nil {
		return result, err
	}
	if err := i.provideRestic(ctx, config, &result); err != nil {
		return result, err
	}
	if host := enrolledAs(config, i.Token, i.Getenv); host != "" {
		result.HostID = host
		result.did("already enrolled at %s as host %s", config.Server, host)
	} else {
		if err := i.enrolAnew(ctx, manager, &result); err != nil {
			return result, err
		}
		changed = true
	}
	if manager != nil {
		if err := keepRunning(manager, changed, &result); err != nil {
			return result, err
		}
	}
	for _, other := range FindOthers("/") {
		result.Next = append(result.Next, other.Says+"; "+other.Next)
	}
	return result, nil
}

// enrolAnew enrols while no agent runs that could write to the same store.
func (i *Installation) enrolAnew(ctx context.Context, manager *service.Manager, result *Enrolled) (err error) {
	if i.Token == "" {
		return errors.New("this machine is not enrolled at that server, and standard input held no token: paste the whole enrolment line")
	}
	if manager != nil {
		running, err := manager.State()
		if err != nil {
			return err
		}
		if running == service.Running {
			if err := manager.Stop(); err != nil {
				return err
			}
			defer func() {
				if err != nil {
					err = errors.Join(err, manager.Start())
				}
			}()
		}
	}
	enrolled, err := Enrol(ctx, i.Enrolment)
	result.HostID = enrolled.HostID
	result.Done = append(result.Done, enrolled.Done...)
	if manager == nil {
		result.Next = append(result.Next, enrolled.Next...)
	}
	return err
}

// enrolledAs gives the host that this machine already is at the server of the line,
// empty if it is none there, or if the line has a token that was not used here: then
// somebody wants it enrolled anew.
func enrolledAs(config Config, token string, getenv func(string) string) string {
	if _, err := os.Stat(filepath.Join(config.StateDir, sealedStore)); err != nil {
		return "" // nothing is made here by looking
	}
	store, err := secret.Open(config.StateDir, getenv)
	if err != nil {
		return ""
	}
	identity, err := loadIdentity(store)
	if err != nil || identity.Server != config.Server || token != "" && identity.TokenHash != hashOf(token) {
		return ""
	}
	return identity.HostID
}

// keepRunning makes the service what it should be, and looks whether it is.
func keepRunning(manager *service.Manager, changed bool, result *Enrolled) error {
	replaced, err := manager.Install()
	if err != nil {
		return fmt.Errorf("%w%s", err, rootAdvice(err))
	}
	if replaced {
		result.did("installed the service %s (%s); it starts with the machine", service.Name, manager)
	}
	before, err := manager.State()
	if err != nil {
		return err
	}
	act, did := manager.Start, "started the service"
	switch {
	case before == service.Running && !changed && !replaced:
		result.did("the service runs already, and nothing has changed")
		return nil
	case before == service.Running:
		act, did = manager.Restart, "restarted the service"
	}
	if err := act(); err != nil {
		return err
	}
	if now, err := manager.State(); err != nil || now != service.Running {
		return errors.Join(errors.New("the service was started and does not run: restic-manager-agent doctor says what is wrong"), err)
	}
	result.did("%s; look at it with: restic-manager-agent doctor", did)
	return nil
}

// placeProgram copies this program to where the service expects it, and tells whether
// what lies there has changed.
func placeProgram(place string, result *Enrolled) (bool, error) {
	self, err := os.Executable()
	if err != nil {
		return false, fmt.Errorf("find this program: %w", err)
	}
	if same, err := sameContent(self, place); err != nil || same {
		return false, err
	}
	source, err := os.Open(self)
	if err != nil {
		return false, err
	}
	defer source.Close()
	if err := putProgram(source, place, ""); err != nil {
		return false, fmt.Errorf("put this program to %s: %w%s", place, err, rootAdvice(err))
	}
	result.did("put the agent to %s", place)
	return true, nil
}

// sameContent reports whether two files hold the same. One that is not there does not.
func sameContent(a, b string) (bool, error) {
	sums := make([][]byte, 2)
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		hash := sha256.New()
		_, err = io.Copy(hash, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return false, err
		}
		sums[i] = hash.Sum(nil)
	}
	return string(sums[0]) == string(sums[1]), nil
}

// errDigest says that a program is not the one that was named.
var errDigest = errors.New("what the server sent does not have the digest in the enrolment line: make a new line under Add host; " +
	"if that is refused as well, somebody changes files at the server or on the way")

// putProgram writes a program to a place where root alone may write, whole or not at
// all. With a digest, a program of another one is not put there.
func putProgram(from io.Reader, place, digest string) error {
	folder := filepath.Dir(place)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := custody.CheckFolder(folder, custody.Unchangeable); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".new-*") // 0600
	if err != nil {
		return err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, hash), io.LimitReader(from, maxProgram+1))
	switch {
	case err != nil:
	case n > maxProgram:
		err = fmt.Errorf("it has more than %d MiB", maxProgram>>20)
	case digest != "" && hex.EncodeToString(hash.Sum(nil)) != digest: //guard:install-digest
		err = errDigest
	default:
		err = errors.Join(f.Chmod(0o755), f.Sync())
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = swapProgram(f.Name(), place)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

const (
	maxProgram      = 256 << 20
	programDeadline = 10 * time.Minute
)

var (
	digestText  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	programName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
)

// provideRestic fetches the server's restic where this machine has none that can be
// used. It gets a place of its own, so that whoever uses the old one goes on doing so.
func (i *Installation) provideRestic(ctx context.Context, config Config, result *Enrolled) error {
	if i.ResticFile == "" {
		return nil
	}
	if !programName.MatchString(i.ResticFile) || !digestText.MatchString(i.ResticSHA256) {
		return errors.New("--restic-file and --restic-sha256 are not as the enrolment line has them: paste the whole line")
	}
	if _, _, err := findRestic(ctx, config, i.Getenv); err == nil {
		return nil
	}
	place := ownRestic(i.Getenv)
	if err := config.fetchProgram(ctx, i.ResticFile, place, i.ResticSHA256, i.Version); err != nil {
		return fmt.Errorf("fetch restic from %s: %w%s", config.Server, err, rootAdvice(err))
	}
	_, version, err := findRestic(ctx, config, i.Getenv)
	if err != nil {
		return fmt.Errorf("the server's restic cannot be used here: %w", err)
	}
	result.did("put restic %s of the server to %s, since this machine has none that is new enough", version, place)
	return nil
}

// fetchProgram downloads one of the server's programs and puts it to a place. The
// digest is what makes it trusted, wherever it came from.
func (c Config) fetchProgram(ctx context.Context, file, place, digest, version string) error {
	client, err := c.serverClient()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	client.Timeout = programDeadline
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Server+"/install/"+file, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "restic-manager-agent/"+version)
	response, err := client.Do(request)
	if err != nil {
		return cause(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s for %s: make a new line under Add host", response.Status, file)
	}
	return putProgram(response.Body, place, digest)
}

// ownRestic is where the installer puts a restic.
func ownRestic(getenv func(string) string) string {
	places := resticPlaces(getenv)
	for _, place := range places {
		if strings.Contains(filepath.Base(filepath.Dir(place)), "restic-manager") {
			return place
		}
	}
	return places[len(places)-1]
}
