package custody

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// What an access rule must not give to others. A folder above may let them add
// names (the root of a drive and ProgramData do), but not remove or replace any.
const (
	fileDeleteChild = 0x40

	takeOver      = windows.DELETE | windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_ALL
	changeFile    = takeOver | windows.GENERIC_WRITE | windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA
	changeFolder  = changeFile | fileDeleteChild
	replaceBelow  = takeOver | fileDeleteChild
	readAnything  = windows.GENERIC_READ | windows.FILE_READ_DATA
	trustedBySDDL = "D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
)

// trustedInstaller owns what Windows itself brings, the root of the drive included.
const trustedInstaller = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"

// inspect reads the owner and the access rules of path. It goes by the path, and
// not by a handle, since the folders above have been found safe before.
func inspect(path string, _ fs.FileInfo, at place, d Demand) error {
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("read the access rules of %s: %w", path, err)
	}
	self, err := ownSID()
	if err != nil {
		return err
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return fmt.Errorf("read the owner of %s: %w", path, err)
	}
	if !trusts(owner, self) { //guard:custody-owner
		return &Problem{path, "belongs to " + nameOf(owner), `run: icacls ` + Quote(path) + ` /setowner *S-1-5-32-544`}
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return fmt.Errorf("read the access rules of %s: %w", path, err)
	}
	if p := judgeRules(path, dacl, self, forbidden(at, d)); p != nil {
		return p
	}
	return nil
}

func forbidden(at place, d Demand) windows.ACCESS_MASK {
	var mask windows.ACCESS_MASK
	switch at {
	case above:
		return replaceBelow
	case folder:
		mask = changeFolder
	case file:
		mask = changeFile
	}
	if d == Private {
		mask |= readAnything
	}
	return mask
}

// judgeRules refuses each rule that gives a forbidden right to somebody else, and
// each kind of rule that it does not know. Rules that deny only take away.
func judgeRules(path string, dacl *windows.ACL, self *windows.SID, mask windows.ACCESS_MASK) *Problem {
	if dacl == nil {
		return &Problem{path, "has no access rules, so that everybody may change it", "run: " + resetCommand(path)}
	}
	for i := range uint32(dacl.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(dacl, i, &ace); err != nil {
			return &Problem{path, "has access rules that could not be read", "run: " + resetCommand(path)}
		}
		switch {
		case ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 || ace.Header.AceType == windows.ACCESS_DENIED_ACE_TYPE:
			continue
		case ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE:
			return &Problem{path, "has an access rule of an unknown kind", "run: " + resetCommand(path)}
		}
		sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart))
		if ace.Mask&mask != 0 && !trusts(sid, self) { //guard:custody-mode
			return &Problem{path, "is open to " + nameOf(sid), "run: " + resetCommand(path)}
		}
	}
	return nil
}

// trusts reports whether an account may do everything anyhow, or is our own.
func trusts(sid, self *windows.SID) bool {
	return sid.IsWellKnown(windows.WinLocalSystemSid) || sid.IsWellKnown(windows.WinBuiltinAdministratorsSid) ||
		sid.IsWellKnown(windows.WinCreatorOwnerRightsSid) || sid.String() == trustedInstaller || sid.Equals(self)
}

func ownSID() (*windows.SID, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, fmt.Errorf("read the agent's own account: %w", err)
	}
	return user.User.Sid, nil
}

func nameOf(sid *windows.SID) string {
	account, domain, _, err := sid.LookupAccount("")
	if err != nil {
		return sid.String()
	}
	return domain + `\` + account
}

func resetCommand(path string) string {
	return "icacls " + Quote(path) + " /inheritance:r /grant *S-1-5-18:F /grant *S-1-5-32-544:F"
}

func copyCommand(from, to string) string {
	return "del " + Quote(to) + " & copy " + Quote(from) + " " + Quote(to)
}

// Quote makes a text one word for cmd.exe. A person is told commands to copy, and
// what stands in them was not always written by a friend. What cmd.exe would read
// even within quotation marks is not written.
func Quote(text string) string {
	special := func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune(`/\._-+:@*,`, r)
	}
	switch {
	case text != "" && strings.IndexFunc(text, special) < 0:
		return text
	case strings.ContainsAny(text, `"%!`):
		return "(a name that cannot be written in a command)"
	}
	return `"` + text + `"`
}

func openNoFollow(path string) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// makePrivate gives a path to SYSTEM, the Administrators and the agent's own
// account, and stops it from inheriting further rules.
func makePrivate(path string) error {
	self, err := ownSID()
	if err != nil {
		return err
	}
	sd, err := windows.SecurityDescriptorFromString(trustedBySDDL + "(A;OICI;FA;;;" + self.String() + ")")
	if err != nil {
		return fmt.Errorf("make the access rules for %s: %w", path, err)
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return fmt.Errorf("make the access rules for %s: %w", path, err)
	}
	err = windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
	if err != nil {
		return fmt.Errorf("set the access rules of %s: %w", path, err)
	}
	return nil
}

// makeLike gives path the access rules of another file.
func makeLike(path, other string) error {
	sd, err := windows.GetNamedSecurityInfo(other, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("read the access rules of %s: %w", other, err)
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return fmt.Errorf("read the access rules of %s: %w", other, err)
	}
	err = windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
	if err != nil {
		return fmt.Errorf("set the access rules of %s: %w", path, err)
	}
	return nil
}

// syncFolder does nothing: Windows has no sync of a folder, and NTFS journals names.
func syncFolder(string) error { return nil }
