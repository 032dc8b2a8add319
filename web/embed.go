// Package web holds what the browser gets: templates and static files, embedded.
//
// A page is a file in templates/page. It names its layout in its first action,
// {{template "base" .}} or {{template "plain" .}}, and defines "main";
// its view is a struct that embeds [Shell] (base) or [Plain] (plain). The blocks in
// templates/partial are called with the view types of view.go, or with a time.Time,
// an int64 of bytes and so on where their comment says so. Nothing in a template is
// trusted markup: every string is text.
//
// Every page and form works without a script. What the modules in static add:
//
//   - app.js: the theme switch, "/" for the search field ([data-slash] before the menu's), times kept fresh
//     (time[data-relative]) and shown in the viewer's zone (time[data-clock],
//     time[data-moment]), and the other modules.
//   - live.js: an element with an id and data-live="topic topic:id …" is read again
//     from the page's own address when one of these topics changes.
//   - log.js: <job-log data-job="ID">, a window onto a log of any length; progress.js:
//     <job-progress data-job="ID" data-version="N" data-state="running">, with a progress
//     element and elements that say data-show="percent|left|bytes|files|speed|errors|
//     phase|at|current"; throughput.js: <job-throughput> in it, a line of its speed.
//   - cron.js: <cron-preview data-cron="ID" data-zone="ID"> tells how a time is read
//     and its next runs; button[data-cron] fills it in.
//   - copy.js: button[data-copy="id"] copies the text of that element.
//   - tree.js: <file-tree>, the files of a snapshot: folders open in place, by keys too,
//     what is picked is kept and told by "rm:picked".
//   - restore.js: <snapshot-index> has a snapshot listed when it is looked at first;
//     form[data-restore] keeps its review up to what is chosen.
//   - form.js: dialogs become modal, forms answer at once and are sent once,
//     input[data-hides] hides what is marked data-hidden-by.
//
// Static files live under /static/VERSION/, where VERSION is a hash over all of
// them, so that relative imports between them stay within one version and each can
// be cached for ever. The content security policy they are made for allows nothing
// inline and no other origin:
//
//	default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;
//	font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';
//	frame-ancestors 'none'
//
// The package imports no other of ours.
package web

import "embed"

// ContentSecurityPolicy is what every page is served with.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

//go:embed static/*.css static/*.js static/*.svg static/vendor/*.js
var staticFiles embed.FS

//go:embed templates/*/*.html
var templateFiles embed.FS
