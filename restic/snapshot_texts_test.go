package restic_test

import (
	"slices"
	"strings"
	"testing"

	"restic-manager/restic"
)

func TestTheTextsOfASnapshotAreBounded(t *testing.T) {
	usual := []string{"/etc", "/home/ä", strings.Repeat("x", 4096)}
	if got := restic.CutTexts(usual); !slices.Equal(got, usual) {
		t.Errorf("usual ones became %d others", len(got))
	}
	if got := restic.CutTexts(nil); got != nil {
		t.Errorf("none became %v", got)
	}
	for name, list := range map[string][]string{
		"a long one":      {"rm:job:x", strings.Repeat("ä", 1<<20)},
		"many":            append(slices.Repeat([]string{"a"}, 5000), "rm:job:x"),
		"many large ones": append(slices.Repeat([]string{strings.Repeat("a", 1000)}, 1300), "rm:job:x"),
	} {
		got := restic.CutTexts(list)
		size := 0
		for _, text := range got {
			size += len(text)
		}
		if size > 32<<10 || len(got) > 1000 || !strings.HasSuffix(got[len(got)-1], "…") {
			t.Errorf("%s: %d of %d bytes, the last %.20q", name, len(got), size, got[len(got)-1])
		}
		if !slices.Contains(got, "rm:job:x") {
			t.Errorf("%s: our own tag is gone", name)
		}
	}
}
