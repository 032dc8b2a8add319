//go:build linux

package restic_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// stranger is a user that this machine does not know.
const stranger = 54321

// needsRoot ends a test that must become another user. In CI tests run as root.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	restictest.Lacks(t, "this test must run as root")
}

// openFolder is a folder that every user can enter.
func openFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// cheapRepository makes a repository in a folder, and gives it to the stranger.
func cheapRepository(t *testing.T, program, folder, password string) {
	t.Helper()
	restictest.CheapRepository(t, program, folder, password)
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, stranger, stranger)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

func TestEverythingInARepositoryBelongsToTheUserAsWhomResticRan(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			open, closed := openFolder(t), t.TempDir()
			repository, source := filepath.Join(open, "repository"), filepath.Join(open, "source")
			for path, content := range map[string]string{source: "", repository: ""} {
				if err := os.Mkdir(path, 0o700); err != nil || os.Chown(path, stranger, stranger) != nil {
					t.Fatal(content, err)
				}
			}
			if err := os.WriteFile(filepath.Join(source, "file"), []byte("content"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(closed, 0o700); err != nil {
				t.Fatal(err)
			}
			runner := restic.New(restic.Config{
				Binary: restictest.Find(t, suite).Restic, CacheDir: filepath.Join(closed, "cache"), TempDir: filepath.Join(closed, "tmp"),
			})
			location, err := restic.ParseLocation(repository)
			if err != nil {
				t.Fatal(err)
			}
			as, err := restic.OwnerOf(repository)
			if err != nil || as.UID != stranger || as.GID != stranger || len(as.Groups) > 0 {
				t.Fatalf("owner %+v, %v", as, err)
			}
			access := restic.Access{Location: location, Password: restic.NewSecret("swordfish"), RunAs: &as}
			made, err := restic.Run(t.Context(), runner, restic.Init{}, access, restic.Handlers{})
			if err != nil || made.Outcome != restic.Succeeded {
				t.Fatalf("init: %+v, %v", made.Failure, err)
			}
			// The list of its sources, in a folder that only the agent can enter, reaches it.
			saved, err := restic.Run(t.Context(), runner, restic.Backup{Sources: []string{source}, Host: "web-1"}, access, restic.Handlers{})
			if err != nil || saved.Outcome != restic.Succeeded {
				t.Fatalf("backup: %+v, %v", saved.Failure, err)
			}
			files := 0
			err = filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && !entry.IsDir() {
					files++
				}
				if uid := ownerOf(t, path); uid != stranger {
					t.Errorf("%s belongs to user %d", path, uid)
				}
				return err
			})
			if err != nil || files < 5 {
				t.Errorf("%d files, %v", files, err)
			}
			if uid := ownerOf(t, filepath.Join(closed, "cache", "user-54321")); uid != stranger {
				t.Errorf("the cache belongs to user %d", uid)
			}
			if left, _ := filepath.Glob(filepath.Join(closed, "tmp", "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAResticThatRunsAsAnotherUserHasNoneOfRootsRights(t *testing.T) {
	needsRoot(t)
	dir := openFolder(t)
	runner := restic.New(restic.Config{
		Binary: restictest.Find(t, "trixie").Restic, CacheDir: filepath.Join(dir, "cache"), TempDir: filepath.Join(dir, "tmp"),
	})
	location, err := restic.ParseLocation(dir)
	if err != nil {
		t.Fatal(err)
	}
	access := restic.Access{Location: location, Password: restic.NewSecret("swordfish"), RunAs: &restic.RunAs{UID: stranger, GID: stranger}}
	ctx, cancel := context.WithCancel(t.Context())
	status := ""
	handlers := restic.Handlers{Started: func(ref restic.ProcessRef) error {
		raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(ref.PID), "status"))
		status = string(raw)
		cancel()
		return err
	}}
	_, _ = restic.Run(ctx, runner, restic.CatConfig{}, access, handlers)
	for _, want := range []string{"Uid:\t54321\t54321\t54321\t54321\n", "Gid:\t54321\t54321\t54321\t54321\n", "Groups:\t \n", "CapEff:\t0000000000000000\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("%q is not in\n%s", want, status)
		}
	}
}

func TestAnAgentThatIsNotRootBecomesNobodyElse(t *testing.T) {
	s := newStage(t, restic.Config{}, restictest.Reply{Command: "cat config"})
	if _, err := s.runner.Version(t.Context()); err != nil {
		t.Fatal(err)
	}
	restic.PretendUser(t, 1000)
	s.access.RunAs = &restic.RunAs{UID: stranger, GID: stranger}
	_, err := restic.Run(t.Context(), s.runner, restic.CatConfig{}, s.access, restic.Handlers{})
	if restic.CodeOf(err) != restic.CodeRunAsRefused || !strings.Contains(err.Error(), "user 54321, and the agent, which is user 1000, cannot") {
		t.Errorf("got %v", err)
	}
	if n := len(s.fake.Calls()); n > 0 {
		t.Errorf("restic was started %d times", n)
	}
}

// TestACopyShowsItsSecretsToNobody copies between storages and folders, as the folder's
// owner, who may read what stands in the environment of his processes.
func TestACopyShowsItsSecretsToNobody(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			bins, open := restictest.Find(t, suite), openFolder(t)
			runner := restic.New(restic.Config{Binary: bins.Restic, CacheDir: filepath.Join(open, "cache"), TempDir: filepath.Join(open, "tmp")})
			storage := restictest.StartRestServer(t, bins)
			as := restic.RunAs{UID: stranger, GID: stranger}
			folder := func(name, password string) restic.Access {
				path := filepath.Join(open, name)
				cheapRepository(t, bins.Restic, path, password)
				location, err := restic.ParseLocation(path)
				if err != nil {
					t.Fatal(err)
				}
				return restic.Access{Location: location, Password: restic.NewSecret(password), RunAs: &as}
			}
			mustRun := func(result restic.Outcome, failure *restic.Error, err error) {
				t.Helper()
				if err != nil || result != restic.Succeeded {
					t.Fatalf("%s %v: %v", result, failure, err)
				}
			}
			stored := func(name, password string) restic.Access {
				restictest.CheapRepository(t, bins.Restic, storage.RepositoryDir(name), password)
				return storage.Access(name, password)
			}
			far, near, third := stored("far", "password-of-far"), folder("near", "password-of-near"), stored("third", "password-of-third")
			saved, err := restic.Run(t.Context(), runner, restic.Backup{Sources: []string{"/etc/hostname"}, Host: "web-1"}, far, restic.Handlers{})
			mustRun(saved.Outcome, saved.Failure, err)
			for _, road := range []struct {
				name     string
				from, to restic.Access
				as       *restic.RunAs
			}{
				{"from a storage into a folder", far, near, &as},
				{"from a folder to a storage", near, third, &as},
				{"from a storage to a storage", far, third, nil},
			} {
				environ := ""
				handlers := restic.Handlers{Started: func(ref restic.ProcessRef) error {
					raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(ref.PID), "environ"))
					environ = string(raw)
					return err
				}}
				access, from := road.to, road.from
				access.From, access.RunAs = &from, road.as
				listed, err := restic.Run(t.Context(), runner, restic.Snapshots{}, road.from, restic.Handlers{})
				mustRun(listed.Outcome, listed.Failure, err)
				if len(listed.Value) != 1 {
					t.Fatalf("%s: %d snapshots", road.name, len(listed.Value))
				}
				id := listed.Value[0].ID
				copied, err := restic.Run(t.Context(), runner, restic.Copy{SnapshotIDs: []string{id}}, access, handlers)
				if err != nil || copied.Outcome != restic.Succeeded {
					t.Fatalf("%s: %v, %v", road.name, copied.Failure, err)
				}
				secrets := []string{"password-of-"}
				if road.as != nil {
					secrets = append(secrets, storage.Password)
				}
				for _, secret := range secrets {
					if !strings.Contains(environ, "RESTIC_FROM_PASSWORD_FILE") || strings.Contains(environ, secret) {
						t.Errorf("%s: a secret stands in its environment", road.name)
					}
				}
				there, err := restic.Run(t.Context(), runner, restic.Snapshots{}, road.to, restic.Handlers{})
				mustRun(there.Outcome, there.Failure, err)
				if len(there.Value) == 0 {
					t.Errorf("%s: nothing was copied", road.name)
				}
			}
		})
	}
}

// TestANewKeyShowsItsPasswordToNobody adds one as the folder's owner, and looks at what he
// may read of his process.
func TestANewKeyShowsItsPasswordToNobody(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			bins, open := restictest.Find(t, suite), openFolder(t)
			runner := restic.New(restic.Config{Binary: bins.Restic, CacheDir: filepath.Join(open, "cache"), TempDir: filepath.Join(open, "tmp")})
			path := filepath.Join(open, "repository")
			cheapRepository(t, bins.Restic, path, "password-of-old")
			location, err := restic.ParseLocation(path)
			if err != nil {
				t.Fatal(err)
			}
			access := restic.Access{Location: location, Password: restic.NewSecret("password-of-old"), RunAs: &restic.RunAs{UID: stranger, GID: stranger}}
			shown := ""
			handlers := restic.Handlers{Started: func(ref restic.ProcessRef) error {
				for _, name := range []string{"environ", "cmdline"} {
					raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(ref.PID), name))
					if err != nil {
						return err
					}
					shown += string(raw)
				}
				return nil
			}}
			access.NewPassword = restic.NewSecret("password-of-new")
			added, err := restic.Run(t.Context(), runner, restic.KeyAdd{}, access, handlers)
			if err != nil || added.Outcome != restic.Succeeded {
				t.Fatalf("%v, %v", added.Failure, err)
			}
			if !strings.Contains(shown, "--new-password-file=/dev/fd/") || strings.Contains(shown, "password-of-") {
				t.Error("a password stands in its arguments or its environment")
			}
			access.Password, access.NewPassword = access.NewPassword, restic.Secret{}
			keys, err := restic.Run(t.Context(), runner, restic.ListKeys{}, access, restic.Handlers{})
			if err != nil || keys.Failure != nil || len(keys.Value) != 2 {
				t.Fatalf("%v, %v, %v", keys.Value, keys.Failure, err)
			}
			for _, k := range keys.Value {
				if k.Current != (k.ID == added.Value.ID) {
					t.Errorf("the new key is %s, and listed is %+v", added.Value.ID, k)
				}
			}
		})
	}
}
