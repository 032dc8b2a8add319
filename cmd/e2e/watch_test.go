//go:build !windows

package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// contents describes everything below a folder: mode, time of change and content.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%s %s", info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(data))
		}
		found[path] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sampler looks again and again at which programs the children of a process are.
type sampler struct {
	pid  atomic.Int64
	quit chan struct{}
	once sync.Once
	done sync.WaitGroup
	seen map[string]int
}

func sampleChildren(t *testing.T, pid int) *sampler {
	s := &sampler{quit: make(chan struct{}), seen: map[string]int{}}
	s.follow(pid)
	s.done.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-s.quit:
				return
			case <-tick.C:
				s.look()
			}
		}
	})
	t.Cleanup(func() { s.stop() })
	return s
}

// follow looks at another process from now on.
func (s *sampler) follow(pid int) { s.pid.Store(int64(pid)) }

func (s *sampler) look() {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.pid.Load()))
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			if _, err := strconv.Atoi(field); err != nil {
				continue
			}
			if program, err := os.Readlink("/proc/" + field + "/exe"); err == nil {
				s.seen[program]++
			}
		}
	}
}

// stop ends the looking and tells how often each program was seen.
func (s *sampler) stop() map[string]int {
	s.once.Do(func() { close(s.quit) })
	s.done.Wait()
	return s.seen
}
