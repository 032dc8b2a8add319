package spool

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/custody"
)

const configName = "config.json"

// SaveConfig makes c the configuration in force. It is a file of its own, so that
// a damaged database does not stop the schedules; it is replaced whole or not at all.
func (s *Spool) SaveConfig(_ context.Context, c control.AgentConfig) error {
	data, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return fmt.Errorf("encode configuration %d: %w", c.Revision, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stepped(stepConfig, func() error {
		return custody.Replace(filepath.Join(s.dir, configName), append(data, '\n'))
	})
}

// LoadConfig reads the configuration in force from a state directory. It needs no
// database. Where there is none yet the error is fs.ErrNotExist.
func LoadConfig(dir string) (control.AgentConfig, error) {
	var c control.AgentConfig
	path := filepath.Join(dir, configName)
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return control.AgentConfig{}, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return c, nil
}

// ConfigSaved is when the configuration in force was saved; zero if there is none.
func ConfigSaved(dir string) time.Time {
	info, err := os.Stat(filepath.Join(dir, configName))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
