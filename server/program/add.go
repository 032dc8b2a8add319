package program

import (
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"debug/pe"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"restic-manager/restic"
)

// maxProgram is more than any restic has.
const maxProgram = 256 << 20

// Fetched is a restic that somebody has downloaded, as it is or as it is published:
// in a .bz2 or .zip.
type Fetched struct {
	Path   string
	SHA256 string // that the file at Path must have; empty: any

	// VersionOf asks a program for its version. It is only called for one that this
	// machine can run.
	VersionOf func(binary string) (string, error)
	Version   string // of a program that cannot be asked
	OS, Arch  string // of this machine
}

// Add puts a restic on a shelf, under a name that says what it is, and pins its
// digest. One that is there already is replaced.
func Add(folder string, f Fetched) (Program, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return Program{}, err
	}
	temp, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return Program{}, err
	}
	defer os.Remove(temp.Name()) // in vain once it has its name
	sum, size, err := unpack(temp, f)
	err = errors.Join(err, temp.Chmod(0o755), temp.Sync(), temp.Close())
	if err != nil {
		return Program{}, err
	}
	p, err := identify(temp.Name(), f)
	if err != nil {
		return Program{}, err
	}
	p.SHA256, p.Bytes, p.File = sum, size, p.FileName()
	p.path = filepath.Join(folder, p.File)
	if parsed, ok := parseName(p.File); !ok || parsed.Version != p.Version {
		return Program{}, fmt.Errorf("%q is no version: give it as 0.19.1", p.Version)
	}
	if err := os.Rename(temp.Name(), p.path); err != nil {
		return Program{}, err
	}
	return p, pin(folder, p)
}

// unpack writes the program itself to temp, and gives its digest and size.
func unpack(temp io.Writer, f Fetched) (sum string, size int64, err error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxProgram+1))
	if err != nil {
		return "", 0, err
	}
	if len(data) > maxProgram {
		return "", 0, fmt.Errorf("%s has more than %d MiB: it is no restic", f.Path, maxProgram>>20)
	}
	if have := sha256.Sum256(data); f.SHA256 != "" && hex.EncodeToString(have[:]) != strings.ToLower(f.SHA256) { //guard:add-digest
		return "", 0, fmt.Errorf("%s does not have that SHA-256 but %x: download it again", f.Path, have)
	}
	program, err := decompress(data)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", f.Path, err)
	}
	hash := sha256.New()
	size, err = io.Copy(io.MultiWriter(temp, hash), io.LimitReader(program, maxProgram+1))
	if err == nil && size > maxProgram {
		err = fmt.Errorf("%s holds more than %d MiB: it is no restic", f.Path, maxProgram>>20)
	}
	return hex.EncodeToString(hash.Sum(nil)), size, err
}

// decompress opens what restic is published in.
func decompress(data []byte) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(data, []byte("BZh")):
		return bzip2.NewReader(bytes.NewReader(data)), nil
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return nil, err
		}
		if len(archive.File) != 1 {
			return nil, fmt.Errorf("the archive holds %d files, not restic alone: unpack it and name the program", len(archive.File))
		}
		return archive.File[0].Open()
	}
	return bytes.NewReader(data), nil
}

// identify says what a program is: by its header for which system, by its build for
// whether it is restic, by itself for its version.
func identify(path string, f Fetched) (Program, error) {
	p := Program{Name: Restic}
	var err error
	if p.OS, p.Arch, err = platform(path); err != nil {
		return p, err
	}
	// A program without this is taken at its word.
	if build, err := buildinfo.ReadFile(path); err == nil && build.Path != "" && !strings.HasSuffix(build.Path, "/restic") {
		return p, fmt.Errorf("this is not restic but %s", build.Path)
	}
	if p.OS != f.OS || p.Arch != f.Arch {
		if f.Version == "" {
			return p, fmt.Errorf("this machine cannot run a program for %s/%s to ask for its version: add --version-is", p.OS, p.Arch)
		}
		p.Version = f.Version
		return p, newEnough(p.Version)
	}
	if p.Version, err = f.VersionOf(path); err != nil {
		return p, err
	}
	if f.Version != "" && f.Version != p.Version {
		return p, fmt.Errorf("it says that it is %s, not %s", p.Version, f.Version)
	}
	return p, newEnough(p.Version)
}

// newEnough refuses a restic that every agent would refuse.
func newEnough(text string) error {
	version, err := restic.ParseVersion(text)
	if err != nil {
		return fmt.Errorf("%q is no version of restic: give it as 0.19.1", text)
	}
	if version.Less(restic.MinVersion) {
		return fmt.Errorf("restic %s is older than %s, which agents need at least", version, restic.MinVersion)
	}
	return nil
}

// platform reads the header of a program.
func platform(path string) (system, machine string, err error) {
	if f, err := elf.Open(path); err == nil {
		defer f.Close()
		machines := map[elf.Machine]string{
			elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm",
			elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x", elf.EM_RISCV: "riscv64", elf.EM_LOONGARCH: "loong64",
		}
		machine, known := machines[f.Machine]
		if !known || f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX {
			return "", "", fmt.Errorf("a program for %v on %v is of no use to the agent", f.OSABI, f.Machine)
		}
		return "linux", machine, nil
	}
	f, err := pe.Open(path)
	if err != nil {
		return "", "", errors.New("this is no program for Linux or Windows")
	}
	defer f.Close()
	machines := map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_ARM64: "arm64", pe.IMAGE_FILE_MACHINE_I386: "386"}
	machine, known := machines[f.Machine]
	if !known {
		return "", "", fmt.Errorf("a program for machine %#x is of no use to the agent", f.Machine)
	}
	return "windows", machine, nil
}

// pin writes a program's line into the list of its folder, in place of an older one.
func pin(folder string, p Program) error {
	path := filepath.Join(folder, sumsFile)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		m := sumsLine.FindStringSubmatch(line)
		return line == "" || m != nil && m[2] == p.File
	})
	lines = append(lines, p.SHA256+"  "+p.File)
	temp, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(strings.Join(lines, "\n") + "\n")
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
