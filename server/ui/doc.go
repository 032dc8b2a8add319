// Package ui renders the pages. Every page and every form is a client of the
// contract like any other: it calls /api/v1 in the same process, with the cookie
// of whoever looks at it, and so has the same rules, checks, audit entries and
// error codes as a script. What a page may show and do is decided there; this
// package decides only how it looks.
//
// A page is a handler here, a view struct beside it and a template of its name in
// web/templates/page. A form that was refused is shown again with what was typed
// and each mistake beside its field.
//
// A page stands although a part of it cannot be told now: it says that this part is
// not known. What a form does not show stays as it is.
//
// It may import server/api for the types of the contract, and web.
package ui
