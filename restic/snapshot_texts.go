package restic

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// What is passed on of the paths of a snapshot, and of its tags. restic bounds neither, and
// who may only add to a repository can store a snapshot with megabytes of them.
const (
	maxTexts     = 1000
	maxTextBytes = 4096     // of one
	maxTextsSize = 32 << 10 // of all
)

// cutMark stands where something was left out.
const cutMark = "…"

// CutTexts bounds the paths or tags of a snapshot, which stay as they are unless they are
// absurd. What is left out is marked; our own tags are the last to go.
func CutTexts(list []string) []string {
	if fitTexts(list) {
		return list
	}
	ordered := slices.Clone(list)
	slices.SortStableFunc(ordered, func(a, b string) int { return ownTagFirst(a) - ownTagFirst(b) })
	var kept []string
	left := maxTextsSize - len(cutMark)
	for _, text := range ordered {
		text = cutText(text, maxTextBytes)
		if left -= len(text); left < 0 || len(kept) == maxTexts-1 { //guard:snapshot-texts
			return append(kept, cutMark)
		}
		kept = append(kept, text)
	}
	return kept
}

func ownTagFirst(text string) int {
	if strings.HasPrefix(text, "rm:") {
		return 0
	}
	return 1
}

func fitTexts(list []string) bool {
	size := 0
	for _, text := range list {
		if len(text) > maxTextBytes {
			return false
		}
		size += len(text)
	}
	return len(list) <= maxTexts && size <= maxTextsSize
}

// cutText cuts a text to at most n bytes, between characters.
func cutText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	cut := n - len(cutMark)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + cutMark
}
