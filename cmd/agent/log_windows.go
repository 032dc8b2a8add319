package main

import (
	"io"
	"path/filepath"

	"gopkg.in/natefinch/lumberjack.v2"

	"restic-manager/agent"
)

// serviceLog is where a service writes: Windows drops what it prints. The folder is
// private, and with it the log.
func serviceLog(config agent.Config, _ io.Writer) io.Writer {
	return &lumberjack.Logger{Filename: filepath.Join(config.StateDir, "agent.log"), MaxSize: 10, MaxBackups: 3} // MiB
}
