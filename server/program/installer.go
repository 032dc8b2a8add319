package program

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"restic-manager/deploy"
)

// The installers.
const (
	LinuxInstaller   = "install.sh"
	WindowsInstaller = "install.ps1"
)

// Installer gives an installer with what this server's programs are, so that its
// digest vouches for them too. pin is the server's, "sha256:…", or empty.
func (s *Shelves) Installer(name, pin string) ([]byte, error) {
	if name != LinuxInstaller && name != WindowsInstaller {
		return nil, fmt.Errorf("%q is no installer", name)
	}
	text, err := deploy.Files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	programs, err := s.Newest()
	if err != nil {
		return nil, err
	}
	var list strings.Builder
	for _, p := range programs {
		// None of these can hold a quotation mark, or anything else with a meaning.
		fmt.Fprintf(&list, "%s %s %s %s %s\n", p.Name, p.OS, p.Arch, p.SHA256, p.File)
	}
	if name == WindowsInstaller {
		return fill(text, "$programs = ''", "$programs = '\n"+list.String()+"'")
	}
	if text, err = fill(text, "\nprograms=''", "\nprograms='\n"+list.String()+"'"); err != nil {
		return nil, err
	}
	return fill(text, "\npinned=''", "\npinned='"+CurlPin(pin)+"'")
}

// fill replaces the one place of a text that is to be written by the server.
func fill(text []byte, place, by string) ([]byte, error) {
	if bytes.Count(text, []byte(place)) != 1 {
		return nil, fmt.Errorf("the installer has not one %q", place)
	}
	return bytes.Replace(text, []byte(place), []byte(by), 1), nil
}

// CurlPin writes a pin as curl wants it; empty for none.
func CurlPin(pin string) string {
	sum, err := hex.DecodeString(strings.TrimPrefix(pin, "sha256:"))
	if pin == "" || err != nil {
		return ""
	}
	return "sha256//" + base64.StdEncoding.EncodeToString(sum)
}
