package restic

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

// fileID tells one file from every other, and from itself after a change of its
// content.
func fileID(f *os.File) (string, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d-%d-%d-%d", info.VolumeSerialNumber, info.FileIndexHigh, info.FileIndexLow, info.LastWriteTime.Nanoseconds()), nil
}

// startScript starts the script and ends with it. While it is being started nobody
// can write, rename or remove the file that was looked at.
func startScript(s Script, env []string) (int, error) {
	path, err := windows.UTF16PtrFromString(s.Path)
	if err != nil {
		return 0, err
	}
	handle, err := windows.CreateFile(path, windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return 0, err
	}
	f := os.NewFile(uintptr(handle), s.Path)
	defer f.Close()
	id, err := fileID(f)
	if err != nil {
		return 0, err
	}
	if id != s.file { //guard:script-swapped
		return 0, errSwapped
	}
	cmd := &exec.Cmd{
		Path: s.Path, Args: []string{s.Path}, Env: env, Dir: filepath.Dir(s.Path),
		Stdout: os.Stdout, Stderr: os.Stderr, SysProcAttr: &syscall.SysProcAttr{HideWindow: true},
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// scriptSystem is what any script needs on this system.
func scriptSystem() []string {
	root := os.Getenv("SystemRoot")
	env := []string{"SystemRoot=" + root, "PATH=" + root + `\System32;` + root + `;` + root + `\System32\WindowsPowerShell\v1.0`}
	for _, name := range []string{"SystemDrive", "ComSpec", "ProgramData", "ProgramFiles", "USERPROFILE", "TEMP", "TMP"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// terminate asks the group to end.
func (c *child) terminate() { c.interrupt() }
