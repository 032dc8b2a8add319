package listing

import (
	"math/bits"
	"unicode/utf8"
)

// glob is a pattern of * (any characters) and ? (one character), compiled so that looking
// at a text takes time by its length alone, whatever the pattern: it goes through the text
// once, with a bit for each place in the pattern that the text so far may lead to.
type glob struct {
	words int               // of 64 places
	ascii [][]uint64        // by character, the places that it leads on from; nil: anyOne
	other map[rune][]uint64 // the same, of all else
	one   []uint64          // places at a ?, which any character leads on from
	stay  []uint64          // places at a *, where any character leads nowhere else
	first []uint64          // where a text begins
	last  int               // the place at the end

	now []uint64 // memory
}

// broken is the character of a byte that is no UTF-8, so that it is only like itself.
func broken(b byte) rune { return utf8.MaxRune + 1 + rune(b) }

// next is the first character of a text and its length.
func next(text []byte) (rune, int) {
	if c := text[0]; c < utf8.RuneSelf {
		return rune(c), 1
	}
	c, n := utf8.DecodeRune(text)
	if c == utf8.RuneError && n == 1 {
		c = broken(text[0])
	}
	return c, n
}

func compileGlob(pattern []byte) *glob {
	var places []rune // what each place waits for; -1: any character
	stars := map[int]bool{}
	for len(pattern) > 0 {
		c, n := next(pattern)
		pattern = pattern[n:]
		switch c {
		case '*':
			stars[len(places)] = true
		case '?':
			places = append(places, -1)
		default:
			places = append(places, c)
		}
	}
	g := &glob{words: len(places)/64 + 1, ascii: make([][]uint64, utf8.RuneSelf), other: map[rune][]uint64{}, last: len(places)}
	set := func(mask *[]uint64, at int) {
		if *mask == nil {
			*mask = make([]uint64, g.words)
		}
		(*mask)[at/64] |= 1 << (at % 64)
	}
	g.one, g.stay, g.now = make([]uint64, g.words), make([]uint64, g.words), make([]uint64, g.words)
	set(&g.first, 0)
	for at, c := range places {
		switch {
		case c == -1:
			set(&g.one, at)
		case c < utf8.RuneSelf:
			set(&g.ascii[c], at)
		default:
			mask := g.other[c]
			set(&mask, at)
			g.other[c] = mask
		}
	}
	for at := range stars {
		set(&g.stay, at)
	}
	return g
}

// matches tells whether the pattern stands for the whole text.
func (g *glob) matches(text []byte) bool {
	copy(g.now, g.first)
	for len(text) > 0 {
		c, n := next(text)
		text = text[n:]
		var own []uint64
		if c < utf8.RuneSelf {
			own = g.ascii[c]
		} else {
			own = g.other[c]
		}
		carry, some := uint64(0), uint64(0)
		for w := range g.now {
			at := g.now[w]
			on := at & g.one[w]
			if own != nil {
				on |= at & own[w]
			}
			g.now[w] = bits.RotateLeft64(on, 1)&^1 | carry | at&g.stay[w]
			carry = on >> 63
			some |= g.now[w]
		}
		if some == 0 {
			return false
		}
	}
	return g.now[g.last/64]>>(g.last%64)&1 == 1
}
