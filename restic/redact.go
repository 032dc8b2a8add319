package restic

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// redactor replaces known secrets in text.
type redactor struct {
	replacer *strings.Replacer
	longest  int // of the forms looked for, in bytes
}

// newRedactor looks for each secret as it is and in the forms in which programs
// print it: escaped for JSON, a URL or Go source, and in a basic authorization.
func newRedactor(username string, secrets ...string) redactor {
	var forms []string
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		forms = append(forms, secret, url.QueryEscape(secret), url.PathEscape(secret), url.UserPassword("", secret).String()[1:])
		forms = append(forms, basic(username, secret))
		if text, err := json.Marshal(secret); err == nil {
			forms = append(forms, strings.Trim(string(text), `"`))
		}
		var plain strings.Builder // JSON without the escapes for HTML
		encoder := json.NewEncoder(&plain)
		encoder.SetEscapeHTML(false)
		if encoder.Encode(secret) == nil {
			forms = append(forms, strings.Trim(plain.String(), "\"\n"))
		}
	}
	// The longest first: the replacer takes the first of the list that fits.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	forms = slices.DeleteFunc(slices.Compact(forms), func(s string) bool { return s == "" })
	if len(forms) == 0 {
		return redactor{replacer: strings.NewReplacer()}
	}
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, redacted) //guard:redaction
	}
	return redactor{replacer: strings.NewReplacer(pairs...), longest: len(forms[0])}
}

// basic is what a basic authorization has of a user and a password.
func basic(username, password string) string {
	if password == "" {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
}

func (r redactor) text(s string) string { return r.replacer.Replace(s) }

// redactorFor knows the secrets of a run.
func (r *Runner) redactorFor(access Access) redactor {
	secrets := []string{access.Password.Reveal(), access.RESTPassword.Reveal()}
	secrets = append(secrets, access.NewPassword.Reveal()) //guard:redact-new-password
	if from := access.From; from != nil {
		password := from.RESTPassword.Reveal()
		secrets = append(secrets, from.Password.Reveal(), password, basic(from.Username, password)) //guard:redact-from
	}
	for _, proxy := range []Secret{r.config.HTTPProxy, r.config.HTTPSProxy} {
		secrets = append(secrets, proxyPasswords(proxy.Reveal())...)
	}
	return newRedactor(access.Username, secrets...)
}

// proxyPasswords returns the password in a proxy's address: as it is written and, where
// that can be said, as it is meant. The environment's proxy may lack the scheme, which
// makes it no URL with a user, and is used all the same.
func proxyPasswords(address string) []string {
	var passwords []string
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		userinfo := address[:at]
		if _, after, hasScheme := strings.Cut(userinfo, "://"); hasScheme {
			userinfo = after
		}
		if _, password, has := strings.Cut(userinfo, ":"); has {
			passwords = append(passwords, password)
		}
	}
	if u, err := url.Parse(address); err == nil && u.User != nil {
		password, _ := u.User.Password()
		passwords = append(passwords, password)
	}
	return passwords
}
