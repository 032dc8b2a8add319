package restic

import (
	"path/filepath"
	"strings"
)

// environment builds restic's environment from nothing. What is not here restic
// does not see: above all no RESTIC_PASSWORD_COMMAND, which it would execute.
func (r *Runner) environment(access Access, where folders, repository bool) []string {
	env := []string{
		"HOME=" + where.home,
		"RESTIC_CACHE_DIR=" + where.cache,
		// Two status lines a second: before 0.19 it would be fifty, and at
		// one a second half of them would come just too early for ours.
		"RESTIC_PROGRESS_FPS=2",
	}
	env = append(env, systemEnvironment(where.run)...)
	add := func(name, value string) {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	add("HTTP_PROXY", r.config.HTTPProxy.Reveal())
	add("HTTPS_PROXY", r.config.HTTPSProxy.Reveal())
	add("NO_PROXY", r.config.NoProxy)
	add("RESTIC_CACERT", r.config.CACertFile)
	if !repository {
		return env
	}
	add("RESTIC_KEY_HINT", access.KeyHint)
	if pipesPassword(access.Password.Reveal()) {
		add("RESTIC_PASSWORD_FILE", passwordFD)
	} else {
		add("RESTIC_PASSWORD", access.Password.Reveal())
	}
	return env
}

// variable is something that restic reads from its environment, or from the file that a
// variable by that name and _FILE names.
type variable struct {
	name, value string
	secret      bool
}

// repositoryVariables say where the repository is. The owner of a folder as whom restic
// works reads the environment of what is his, so for him the credential of a storage stands
// in the location, which is handed over like a password.
func repositoryVariables(access Access, switched bool) ([]variable, error) {
	location := variable{name: "RESTIC_REPOSITORY", value: access.Location.String()}
	if !access.Location.REST() || access.Username == "" && access.RESTPassword.IsZero() {
		return []variable{location}, nil
	}
	if switched { //guard:environment-switched
		location, err := locationWithin("RESTIC_REPOSITORY", access)
		return []variable{location}, err
	}
	return []variable{location, {name: "RESTIC_REST_USERNAME", value: access.Username}, {name: "RESTIC_REST_PASSWORD", value: access.RESTPassword.Reveal()}}, nil
}

// hand puts variables into what a restic is started with: what is secret through a pipe,
// where the system has them and restic reads the value unchanged from there.
func (s *childSpec) hand(vars []variable) {
	for _, v := range vars {
		switch {
		case v.value == "":
		case v.secret && pipesPassword(v.value): //guard:environment-secret
			s.env = append(s.env, v.name+"_FILE="+secretFD(len(s.secrets)))
			s.secrets = append(s.secrets, v.value)
		default:
			s.env = append(s.env, v.name+"="+v.value)
		}
	}
}

// folders are those of a run, as its restic finds them.
type folders struct{ run, cache, home string }

func (r *Runner) foldersFor(switched bool, dir string) folders {
	if switched {
		return folders{run: runDirFD, cache: cacheDirFD, home: cacheDirFD}
	}
	where := folders{run: dir, cache: r.config.CacheDir, home: r.config.Home}
	if where.home == "" {
		where.home = where.cache
	}
	return where
}

// checkAccess refuses what cannot be handed to restic unchanged.
func checkAccess(a Access) error {
	var errs Errors
	if a.Location.IsZero() {
		errs = append(errs, &Error{Code: CodeRepoLocationInvalid, Field: "location", Message: "the repository has no location"})
	}
	if path := a.Location.Path(); path != "" && !filepath.IsAbs(path) {
		errs = append(errs, &Error{
			Code: CodeRepoLocationInvalid, Field: "location",
			Message: "the repository is a folder of another system than this host's",
		})
	}
	if password := a.Password.Reveal(); password == "" || strings.ContainsRune(password, 0) { //guard:restic-access
		errs = append(errs, &Error{
			Code: CodePasswordInvalid, Field: "password",
			Message: "the repository's password is empty or has a NUL character", Next: "set the repository's password again",
		})
	}
	if strings.ContainsAny(a.Username+a.RESTPassword.Reveal(), "\x00\r\n") || strings.Contains(a.Username, ":") { //guard:restic-credential
		errs = append(errs, &Error{
			Code: CodeFieldInvalid, Field: "credential",
			Message: "the user name or password for the storage has a character that HTTP cannot carry", Next: "set the credential again",
		})
	}
	if a.KeyHint != "" && !keyHintPattern.MatchString(a.KeyHint) { //guard:restic-key-hint
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "key_hint", Message: "must be a key id of 8 to 64 hexadecimal digits"})
	}
	if a.RetryLock < 0 {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "retry_lock", Message: "must not be negative"})
	}
	return errs.orNil()
}
