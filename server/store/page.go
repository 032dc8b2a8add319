package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"restic-manager/server/fleet"
)

// The sizes of a page.
const (
	DefaultPageSize = 50
	MaxPageSize     = 200
)

// Page asks for one page of a list: the first, or the one that a token of the page
// before it means. A size of 0 is DefaultPageSize; more than MaxPageSize is that.
type Page struct {
	Size  int
	Token string
}

// Limit is how many items the page holds at most.
func (p Page) Limit() int { return p.size() }

func (p Page) size() int {
	switch {
	case p.Size <= 0:
		return DefaultPageSize
	case p.Size > MaxPageSize:
		return MaxPageSize
	}
	return p.Size
}

// cursor is what a token holds: the key of the last item, and a mark of the query
// that it belongs to.
type cursor struct {
	Query string            `json:"q"`
	After []json.RawMessage `json:"a"`
}

// mark names a query by its kind and filter, so that a token of another one is
// noticed.
func mark(query any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%T%+v", query, query))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// after reads the key of the last item into the pointers and tells whether there
// was one: the first page has none. A token that is damaged or of another query is
// InvalidPageToken.
func (p Page) after(query any, key ...any) (bool, error) {
	if p.Token == "" {
		return false, nil
	}
	invalid := fleet.Errorf(fleet.InvalidPageToken, "The page token is damaged or belongs to another list; begin again without one.").At("page_token")
	text, err := base64.RawURLEncoding.DecodeString(p.Token)
	if err != nil {
		return false, invalid
	}
	var c cursor
	if json.Unmarshal(text, &c) != nil || c.Query != mark(query) || len(c.After) != len(key) {
		return false, invalid
	}
	for i, v := range c.After {
		if json.Unmarshal(v, key[i]) != nil {
			return false, invalid
		}
	}
	return true, nil
}

// paged cuts the extra item that was read to see whether there is more and makes
// the token of the next page from the last item that stays.
func paged[T any](p Page, query any, items []T, key func(*T) []any) ([]T, string, error) {
	if len(items) <= p.size() {
		return items, "", nil
	}
	items = items[:p.size()]
	c := cursor{Query: mark(query)}
	for _, v := range key(&items[len(items)-1]) {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, "", err
		}
		c.After = append(c.After, text)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, "", err
	}
	return items, base64.RawURLEncoding.EncodeToString(text), nil
}

// where gathers the conditions of a query and their arguments.
type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

// String gives the WHERE clause, empty without conditions.
func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// contains adds a search for a part of a column's text in any case.
func (w *where) contains(column, part string) {
	if part == "" {
		return
	}
	escaped := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(part))
	w.add(`LOWER(`+column+`) LIKE ? ESCAPE '\'`, "%"+escaped+"%")
}

// holds adds a search for an item of a List. Both databases compare replaced text
// exactly, which LIKE does not.
func (w *where) holds(column, item string) {
	if item == "" {
		return
	}
	w.add(holding(column), asHeld(item))
}

// holding is the condition that a list has an item, which is given as asHeld.
func holding(column string) string { return `REPLACE(` + column + `, ?, '') <> ` + column }

func asHeld(item string) string {
	return strings.TrimSuffix(strings.TrimPrefix(string(fleet.NewList([]string{item})), "["), "]")
}

// place names a list whose positions are text that somebody else gives.
type place struct {
	Of   string
	Args []string
}

// Position reads where a page of a list begins that is not the store's: "" is its
// beginning. The list is named by its kind and by what else decides what is in it.
func (p Page) Position(kind string, args ...string) (at string, err error) {
	_, err = p.after(place{kind, args}, &at)
	return at, err
}

// PositionToken makes the token of the page that begins at a position; "" for none.
func PositionToken(at, kind string, args ...string) (string, error) {
	if at == "" {
		return "", nil
	}
	_, token, err := paged(Page{Size: 1}, place{kind, args}, []string{at, at}, func(s *string) []any { return []any{*s} })
	return token, err
}
