package listing

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// asRegexp is a pattern as the regular expression that means the same.
func asRegexp(pattern string) *regexp.Regexp {
	text := regexp.QuoteMeta(pattern)
	text = strings.NewReplacer(`\*`, `(?s:.*)`, `\?`, `(?s:.)`).Replace(text)
	return regexp.MustCompile(`\A` + text + `\z`)
}

func TestAPatternMeansWhatItsRegularExpressionMeans(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	word := func(alphabet []string, most int) string {
		var b strings.Builder
		for range random.IntN(most) {
			b.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		return b.String()
	}
	found := 0
	for range 200_000 {
		most := 8
		if random.IntN(20) == 0 {
			most = 200 // over several words of places
		}
		pattern, text := word([]string{"a", "b", "ü", "*", "?", "*a", "*"}, most), word([]string{"a", "b", "ü", "a", "\n"}, most)
		got, want := compileGlob([]byte(pattern)).matches([]byte(text)), asRegexp(pattern).MatchString(text)
		if got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, text, got, want)
		}
		if got {
			found++
		}
	}
	if found < 1000 {
		t.Errorf("only %d matched", found)
	}
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{strings.Repeat("a", 400), strings.Repeat("a", 400), true},
		{strings.Repeat("a", 400), strings.Repeat("a", 399), false},
		{strings.Repeat("?", 64), strings.Repeat("ü", 64), true},
		{"*" + strings.Repeat("a", 127) + "b", strings.Repeat("a", 300) + "b", true},
		{"caf\xe9*", "caf\xe9.txt", true}, {"caf\xe9*", "caf\xe8.txt", false}, {"caf?", "caf\xe9", true},
		{"*", "", true}, {"?", "", false}, {"", "", true}, {"", "a", false},
	} {
		if got := compileGlob([]byte(c.pattern)).matches([]byte(c.text)); got != c.want {
			t.Errorf("%.20q matches %.20q: %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
}

// TestAHostilePatternCostsWhatASimpleOneDoes counts instead of timing: the steps over a text
// are its characters times the words that hold the pattern's places.
func TestAHostilePatternCostsWhatASimpleOneDoes(t *testing.T) {
	for _, pattern := range []string{
		strings.Repeat("*a", 200), "*" + strings.Repeat("a", 398) + "b", strings.Repeat("?*", 200), strings.Repeat("*", 400), strings.Repeat("a?", 200),
	} {
		g := compileGlob([]byte(pattern))
		if g.words > 7 || len(g.now) != g.words {
			t.Errorf("%.10q takes %d words", pattern, g.words)
		}
		g.matches(bytes.Repeat([]byte("a"), 8<<10))
		if n := testing.AllocsPerRun(10, func() { g.matches(bytes.Repeat([]byte("a"), 100)) }); n > 1 {
			t.Errorf("%.10q takes memory: %f", pattern, n)
		}
	}
}

func BenchmarkPatternThatIsHostile(b *testing.B) {
	text := bytes.Repeat([]byte("a"), 255)
	for name, pattern := range map[string]string{"simple": "*.pdf", "hostile": "*" + strings.Repeat("a", 200) + "b", "stars": strings.Repeat("*a", 200)} {
		b.Run(name, func(b *testing.B) {
			g := compileGlob([]byte(pattern))
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				g.matches(text)
			}
		})
	}
}
