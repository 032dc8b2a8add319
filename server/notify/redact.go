package notify

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"unicode"
)

const maxErrorText = 400

// explain is why an attempt failed, for people: without secrets, whoever wrote the
// text, on one line, and not long.
func explain(err error, c Config) string {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // the outer one repeats the whole address
	}
	var denied *Denied
	if errors.As(err, &denied) {
		err = denied // what tried to connect to it says nothing more
	}
	text := redact(err.Error(), c.secrets())
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return text
}

// redact takes secrets out of a text, also in the forms in which they travel.
func redact(text string, secrets []string) string {
	for _, s := range secrets {
		forms := []string{s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s))}
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			forms = append(forms, u.RequestURI(), u.EscapedPath())
		}
		for _, form := range forms {
			if len(form) > 3 {
				text = strings.ReplaceAll(text, form, "[redacted]") //guard:notify-redact
			}
		}
	}
	return text
}
