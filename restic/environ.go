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
	add("RESTIC_REPOSITORY", access.Location.String())
	add("RESTIC_KEY_HINT", access.KeyHint)
	if pipesPassword(access.Password.Reveal()) {
		add("RESTIC_PASSWORD_FILE", passwordFD)
	} else {
		add("RESTIC_PASSWORD", access.Password.Reveal())
	}
	if access.Location.REST() {
		add("RESTIC_REST_USERNAME", access.Username)
		add("RESTIC_REST_PASSWORD", access.RESTPassword.Reveal())
	}
	return env
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
