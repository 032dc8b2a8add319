package listing

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Query is what to look for.
type Query struct {
	// Text is a part of a name, in any case. With * or ? in it, it is a pattern for the
	// whole name: * is any characters, ? is one. With a / in it, it is about the path.
	Text  string
	Under string // only below this folder; "" for everywhere
}

// Search returns a page of what a query finds. Entries of one folder come together, what
// is below a folder before the folder's own entries. A page may have fewer entries than
// limit, or none: it ends after a number of blocks too. next is "" when there is no more.
func (r *Reader) Search(ctx context.Context, q Query, after string, limit int) (page []Entry, next string, err error) {
	at, err := parsePosition(after, 2)
	if err != nil {
		return nil, "", err
	}
	under := clean(q.Under)
	where := span{last: uint32(max(0, r.root.entryBlocks-1))}
	if under != "/" {
		if where, err = r.find(ctx, under); err != nil {
			return nil, "", err
		}
	}
	if r.root.entryBlocks == 0 {
		return nil, "", nil
	}
	m := newMatcher(q.Text)
	first, skip := max(at[0], int(where.first)), at[1]
	for number := first; number <= int(where.last); number, skip = number+1, 0 {
		if number-first == searchBlocks { //guard:listing-reads
			return page, position(number, 0), nil
		}
		plain, err := r.plain(ctx, KindEntries, number)
		if err != nil {
			return nil, "", err
		}
		found, err := m.block(plain, under)
		if err != nil {
			return nil, "", err
		}
		found = found[min(skip, len(found)):]
		if room := limit - len(page); len(found) > room {
			return append(page, found[:room]...), position(number, skip+room), nil
		}
		page = append(page, found...)
		if m.work > searchWork {
			return page, position(number+1, 0), nil
		}
	}
	return page, "", nil
}

// matcher compares names with a query.
type matcher struct {
	text    []byte // in lower case
	pattern *glob  // nil: text is a part of a name
	path    bool
	lower   []byte // memory for a name in lower case
	work    int    // how many bytes were compared
	most    int    // how much that may become in this block
}

// What a search compares: a block that asks for more is none that a Writer has written,
// and a page ends behind the block with which it has done more.
const (
	blockWork  = 64 << 20
	searchWork = 128 << 20
)

func newMatcher(text string) *matcher {
	m := &matcher{text: lowered(nil, []byte(text)), path: strings.Contains(text, "/")}
	if strings.ContainsAny(text, "*?") {
		m.pattern = compileGlob(m.text)
	}
	return m
}

// block returns what a block has of the query.
func (m *matcher) block(plain []byte, under string) (found []Entry, err error) {
	sound := true
	m.most = m.work + blockWork
	ended := segments(plain, func(s *segment) bool {
		if !within(s.folder, under) {
			return true
		}
		for i := range s.runs {
			var some []Entry
			if some, sound = m.run(s, i); !sound {
				return false
			}
			found = append(found, some...)
		}
		return true
	})
	if !ended || !sound {
		return nil, fmt.Errorf("%w: a block of entries cannot be read", ErrDamaged)
	}
	return found, nil
}

// run decodes the names of a run, and the rest of it only where one matches.
func (m *matcher) run(s *segment, which int) ([]Entry, bool) {
	k := &s.runs[which]
	if k.count == 0 {
		return nil, true
	}
	var hits []int
	sound := k.eachName(func(i int, name []byte) bool {
		if m.match(s.folder, name) {
			hits = append(hits, i)
		}
		return m.work <= m.most
	})
	if !sound || m.work > m.most { //guard:listing-work
		return nil, false
	}
	if len(hits) == 0 {
		return nil, true
	}
	all, sound := k.entries(string(s.folder), which == 0)
	if !sound {
		return nil, false
	}
	for i, hit := range hits {
		all[i] = all[hit]
	}
	return all[:len(hits)], true
}

func (m *matcher) match(folder, name []byte) bool {
	m.lower = m.lower[:0]
	if m.path {
		m.lower = lowered(m.lower, folder)
		if len(folder) > 1 {
			m.lower = append(m.lower, '/')
		}
	}
	m.lower = lowered(m.lower, name)
	m.work += len(m.lower)
	if m.pattern != nil {
		return m.pattern.matches(m.lower)
	}
	return bytes.Contains(m.lower, m.text)
}

// lowered appends a text in lower case.
func lowered(to, text []byte) []byte {
	for i, c := range text {
		switch {
		case 'A' <= c && c <= 'Z':
			to = append(to, c+'a'-'A')
		case c >= utf8.RuneSelf:
			return append(to, bytes.ToLower(text[i:])...)
		default:
			to = append(to, c)
		}
	}
	return to
}
