package web

import "time"

// Tone is the colour of a state; its word and its shape say the same.
type Tone string

const (
	OK   Tone = "ok"   // protected, succeeded
	Warn Tone = "warn" // a person should look
	Risk Tone = "risk" // a person must act
	Idle Tone = "idle" // away, asleep, unknown, not scheduled
	Run  Tone = "run"  // happening now
)

// State is a state as people see it: {{template "state" .}} in tables,
// {{template "pill" .}} in headers, {{template "glyph" .}} for the shape alone.
type State struct {
	Tone Tone
	// Glyph is the shape's name in icons.svg without "g-": ok, warn, risk, refused,
	// idle, none, wait, stop, cancel, lost, run.
	Glyph string
	Word  string
}

// Theme is what the viewer chose; the empty one follows the system.
type Theme string

const (
	Auto  Theme = ""
	Light Theme = "light"
	Dark  Theme = "dark"
)

// ThemeOf reads a theme from its cookie or form value; anything unknown is Auto.
func ThemeOf(value string) Theme {
	switch Theme(value) {
	case Light, Dark:
		return Theme(value)
	}
	return Auto
}

// ThemeCookie names the cookie that app.js and POST /theme write and the server
// reads. It is no secret, lasts a year and is not HttpOnly.
const ThemeCookie = "theme"

// Plain is what the layout "plain" needs: the pages of somebody not signed in.
type Plain struct {
	Title string // of the page, without the program's name
	Theme Theme
	// Path is the page's own path and query, where POST /theme leads back to.
	Path string
	// Version is the program's, shown in the foot.
	Version string
}

// Shell is what the layout "base" needs: the pages of somebody signed in.
type Shell struct {
	Plain
	Nav  []NavItem
	User Account
	// RenderedAt is the age of everything on the page.
	RenderedAt time.Time
	// Cursor is the change feed's position that the page was read at; live.js goes
	// on from there, so that nothing between reading and listening is missed.
	Cursor int64
	// Address is where live parts are read again from, when that is not where the
	// page came from: the answer to a form.
	Address string
	// Search is what was searched for, shown in the field again.
	Search string
	Crumbs []Crumb
	// Flash says what the last form did; nil most of the time.
	Flash *Banner
}

// NavItem is a line of the menu.
type NavItem struct {
	Label, Href string
	Count       string // "14", "2 running"; empty for none
	Tone        Tone   // of the count; empty for plain
	Current     bool
}

// Account is who is signed in.
type Account struct{ Name, Role string }

// May tells whether the account's role covers the one needed, so that a page offers
// what its viewer can do. The server asks again.
func (a Account) May(need string) bool {
	rank := map[string]int{"viewer": 1, "operator": 2, "admin": 3}
	return rank[need] > 0 && rank[a.Role] >= rank[need]
}

// Crumb is a step of the way to a page; the last has no Href.
type Crumb struct {
	Label, Href string
	Mono        bool // an id
}

// Banner says one thing above a page's content: {{template "banner" .}}.
type Banner struct {
	State State
	Text  string // what happened and why
	Link  Link   // the one next step; may be empty
}

// Link is a place to go to.
type Link struct{ Label, Href string }

// Empty stands where a list has nothing to show: {{template "empty" .}}.
type Empty struct {
	Title, Text string
	Action      Link
}

// Fact is a number with its name: {{template "facts" .}} takes a list of them.
type Fact struct {
	Term      string
	Big, Unit string // "148.6", "GiB"
	Note      string // the line below
}

// Tab is a page beside its siblings: {{template "tabs" .}} takes a list of them.
type Tab struct {
	Label, Href, Count string
	Current            bool
}

// Pager leads through a list that is read by key: {{template "pager" .}}.
type Pager struct {
	Note  string // "50 hosts", "page of 50"
	First string // address of the first page; empty when this is it
	Next  string // address of the next page; empty when this is the last
}

// Option is a choice of a [Field].
type Option struct{ Value, Label string }

// Field is one input with its label, hint and error. Its template says what it is:
// "field" (a line), "area" (lines), "choose" (a list), "check" (yes or no).
type Field struct {
	Name, Label string
	Value       string // for "check" any text but the empty one means checked
	Type        string // of "field": text when empty; password fields never show Value
	Hint        string
	Error       string // what is wrong and what would be right
	Placeholder string

	Autocomplete string
	Pattern      string // of "field", for the browser to check
	List         string // of "field": the id of a datalist with suggestions
	Options      []Option
	Rows         int    // of "area"
	Unit         string // of "field": what its number counts, behind it

	Required, Mono, Autofocus, Disabled bool
	// Hides marks a "check" that hides everything with data-hidden-by in its form.
	// What is hidden is still sent, and must not be required.
	Hides bool
}

// ID is the input's element id.
func (f Field) ID() string { return "f-" + f.Name }

// DescribedBy lists the ids of hint and error for aria-describedby.
func (f Field) DescribedBy() string {
	switch {
	case f.Hint != "" && f.Error != "":
		return f.ID() + "-hint " + f.ID() + "-error"
	case f.Error != "":
		return f.ID() + "-error"
	case f.Hint != "":
		return f.ID() + "-hint"
	}
	return ""
}

// Dialog asks before something is done: {{template "dialog" .}}. A button with
// popovertarget="ID" opens it, as a modal one where scripts run.
type Dialog struct {
	ID, Title string
	Text      string // exactly what will happen
	Action    string // where the form is posted to
	Confirm   string // the button: a verb and its object
	Keep      string // the other button
	Danger    bool
	// Typed is a name that must be typed first; empty when it need not. The form
	// sends it as "typed", and the server compares it again.
	Typed string
	// Hidden is sent along.
	Hidden []Hidden
}

// Hidden is a form value that nobody sees.
type Hidden struct{ Name, Value string }

// Copy is text to take elsewhere, with a button: {{template "copy" .}}.
type Copy struct {
	ID, Text string
	Label    string // what it is, for those who do not see it
	Lines    bool   // several lines
}
