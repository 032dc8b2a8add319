//go:build !windows

package restictest

import "syscall"

func processGroup() int { return syscall.Getpgrp() }
