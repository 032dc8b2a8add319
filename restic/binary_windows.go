package restic

import (
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

// writeRights are the rights that let one change a file or replace it in its
// folder.
const writeRights = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | windows.DELETE |
	windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_WRITE | windows.GENERIC_ALL

// folderRights are those that let one replace what is in a folder. To add to a
// folder is not among them: users may, at the root of a drive.
const folderRights = fileDeleteChild | windows.DELETE | windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_ALL

const fileDeleteChild = 0x40

// checkOwnership looks at the program and every folder above it: their owner and
// who may write are the system, administrators, the installer or the agent's own
// user.
func checkOwnership(path string) error {
	trusted, err := trustedAccounts()
	if err != nil {
		return insecureBinary("the accounts to trust cannot be looked up", "run the agent's doctor command")
	}
	if err := checkSecurity(path, writeRights, trusted); err != nil {
		return err
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if err := checkSecurity(dir, folderRights, trusted); err != nil {
			return err
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// trustedInstaller owns what windows itself installs.
const trustedInstaller = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"

func trustedAccounts() ([]*windows.SID, error) {
	var list []*windows.SID
	for _, kind := range []windows.WELL_KNOWN_SID_TYPE{
		windows.WinLocalSystemSid, windows.WinBuiltinAdministratorsSid, windows.WinCreatorOwnerSid,
	} {
		sid, err := windows.CreateWellKnownSid(kind)
		if err != nil {
			return nil, err
		}
		list = append(list, sid)
	}
	installer, err := windows.StringToSid(trustedInstaller)
	if err != nil {
		return nil, err
	}
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, err
	}
	return append(list, installer, user.User.Sid), nil
}

func checkSecurity(path string, rights windows.ACCESS_MASK, trusted []*windows.SID) error {
	cannot := func(err error) error {
		return &Error{
			Code: CodeResticBinaryInsecure, Message: "the rights on " + path + " cannot be read",
			Next: "give the agent's user the right to read them", Err: err,
		}
	}
	descriptor, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return cannot(err)
	}
	owner, _, err := descriptor.Owner()
	if err != nil {
		return cannot(err)
	}
	if !contains(trusted, owner) {
		return insecureBinary(path+" belongs to another user than the system, an administrator and the agent's own",
			fmt.Sprintf(`run: icacls "%s" /setowner Administrators`, path))
	}
	acl, _, err := descriptor.DACL()
	if err != nil {
		return cannot(err)
	}
	if acl == nil {
		return insecureBinary(path+" can be changed by every user", fmt.Sprintf(`run: icacls "%s" /reset`, path))
	}
	for i := range uint32(acl.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(acl, i, &ace); err != nil {
			return cannot(err)
		}
		if ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE || ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 {
			continue
		}
		sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart))
		if ace.Mask&rights != 0 && !contains(trusted, sid) {
			return insecureBinary(path+" can be changed by other users", fmt.Sprintf(`run: icacls "%s" /inheritance:d, and take their right to write`, path))
		}
	}
	return nil
}

func contains(list []*windows.SID, sid *windows.SID) bool {
	for _, one := range list {
		if one.Equals(sid) {
			return true
		}
	}
	return false
}
