package ui

import (
	"errors"
	"net/http"
	"net/url"

	"restic-manager/web"
)

type failView struct {
	web.Plain
	State  web.State
	Detail string
	Next   web.Link
	ID     string // of the request, to find it in the log
}

// fail turns an error into what helps: a way to the sign-in, or a page that says
// what happened and what to do.
func (v *visit) fail(err error) {
	var p *problem
	if !errors.As(err, &p) {
		v.u.log.ErrorContext(v.r.Context(), "page failed", "path", v.r.URL.Path, "err", err)
		p = &problem{Status: http.StatusInternalServerError, Code: "internal", Title: "Something went wrong here", Detail: "This is a fault of the server. Its log says more."}
	}
	if p.Status == http.StatusUnauthorized {
		_ = v.goTo(v.signInPath())
		return
	}
	title := p.Title
	if title == "" {
		title = http.StatusText(p.Status)
	}
	view := failView{
		Plain: v.plain(title), State: web.State{Tone: web.Risk, Glyph: "risk", Word: title},
		Detail: p.Detail, Next: web.Link{Label: "Back to the dashboard", Href: "/"}, ID: p.RequestId,
	}
	if p.Code == "repository_not_ready" {
		view.Next = web.Link{Label: "Look at the repositories", Href: "/repositories"}
	}
	if p.Status == http.StatusNotFound {
		view.State = web.State{Tone: web.Idle, Glyph: "none", Word: "Not found"}
		view.Title, view.Detail = "Not found", "There is nothing at this address. It may have been deleted."
	}
	if err := v.show(p.Status, "fail", view); err != nil {
		v.u.log.ErrorContext(v.r.Context(), "error page failed", "err", err)
		http.Error(v.w, "something went wrong", http.StatusInternalServerError)
	}
}

// signInPath leads to the sign-in and from there back here, or to the page of the form that
// was sent.
func (v *visit) signInPath() string {
	back := "/"
	if v.r.Method == http.MethodGet {
		back = v.r.URL.RequestURI()
	} else if from, err := url.Parse(v.r.Referer()); err == nil && from.Host == v.r.Host && from.Path != "" {
		back = from.RequestURI()
	}
	if back == "/" {
		return "/sign-in"
	}
	return "/sign-in?" + url.Values{"to": {back}}.Encode()
}
