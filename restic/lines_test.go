package restic

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

type readLine struct {
	Text    string
	Omitted int64
}

func linesOf(t *testing.T, text string, limit int) []readLine {
	t.Helper()
	var got []readLine
	err := readLines(iotest.HalfReader(strings.NewReader(text)), limit, func(text []byte, omitted int64) {
		got = append(got, readLine{string(text), omitted})
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLinesAreSplitAndCut(t *testing.T) {
	long := strings.Repeat("a", 200_000)
	tests := []struct {
		name, text string
		limit      int
		want       []readLine
	}{
		{"nothing", "", 10, nil},
		{"one without an end", "abc", 10, []readLine{{"abc", 0}}},
		{"empty ones", "\n\n", 10, []readLine{{"", 0}, {"", 0}}},
		{"ends of windows", "a\r\nb\r\n", 10, []readLine{{"a", 0}, {"b", 0}}},
		{"as long as allowed", "abcde\nf", 6, []readLine{{"abcde", 0}, {"f", 0}}},
		{"longer", "abcdefghij\nk\n", 4, []readLine{{"abcd", 6}, {"k", 0}}},
		{"longer without an end", "abcdefghij", 4, []readLine{{"abcd", 6}}},
		{"longer than the buffer", long + "\nx", 100, []readLine{{long[:100], 199_900}, {"x", 0}}},
		{"as long as allowed and longer than the buffer", long + "\n", 200_001, []readLine{{long, 0}}},
		{"a NUL inside", "a\x00b\n", 10, []readLine{{"a\x00b", 0}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, linesOf(t, test.text, test.limit)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLongLinesTakeBoundedMemory(t *testing.T) {
	line := bytes.Repeat([]byte("x"), 64<<20)
	allocated := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			_ = readLines(bytes.NewReader(line), maxLine, func([]byte, int64) {})
		}
	}).AllocedBytesPerOp()
	if allocated > 8<<20 {
		t.Errorf("reading 64 MiB without a line's end allocated %d bytes", allocated)
	}
}

func TestTextIsCleaned(t *testing.T) {
	for text, want := range map[string]string{
		"plain\ttext":                "plain\ttext",
		"\x1b[2Ksignal":              "signal",
		"\x1b[1;31mred\x1b[0m":       "red",
		"\x1b]0;title\x07rest":       "rest",
		"\rsignal received \r":       "signal received ",
		"10%\r20%":                   "10% 20%",
		"a\x00b\x07c":                "a\uFFFDb\uFFFDc",
		"\xff\xfebad":                "\uFFFDbad",
		"umläut <&> \u202e":          "umläut <&> \u202e",
		"\x1b[999999999999999999mok": "ok",
		"\x1b":                       "\uFFFD",
	} {
		if got := cleanText([]byte(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestASecretAcrossTheCutOfALineIsRedacted(t *testing.T) {
	secret := strings.Repeat("s3cr3t", 20)
	for shift := range len(secret) + 2 {
		var got string
		c := newCollector(newRedactor("", secret), Handlers{Line: func(l Line) { got = l.Text }}, fixedNow)
		text := strings.Repeat("x", maxLine-shift) + secret + strings.Repeat("y", 500)
		limit := maxLine + c.redact.longest
		_ = readLines(strings.NewReader(text), limit, func(text []byte, omitted int64) { c.line(Stdout, text, omitted) })
		if strings.Contains(got, "s3cr3t") || len(got) > maxLine {
			t.Fatalf("shift %d: %d bytes, ends in %q", shift, len(got), got[len(got)-30:])
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, seed := range []string{
		`{"message_type":"status","percent_done":null}`, `{"message_type":"error","error":{},"item":null}`, `{"message_type":"exit_error"}`,
		`{"message_type":5}`, `[1,2`, "\x1b[", `{"message_type":"error","error":{"Op":"open","Err":13}}`, `{"message_type":"summary"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := newCollector(newRedactor("", "s3cr3t"), Handlers{Line: func(l Line) {
			if strings.Contains(l.Text, "s3cr3t") || strings.ContainsAny(l.Text, "\x00\x1b\n\r") {
				t.Errorf("%q got out", l.Text)
			}
		}}, fixedNow)
		for _, stream := range []Stream{Stdout, Stderr} {
			_ = readLines(bytes.NewReader(raw), maxLine, func(text []byte, omitted int64) { c.line(stream, text, omitted) })
		}
		doc, err := readDocument(bytes.NewReader(raw), maxLine, func([]byte, int64) {})
		if err != nil {
			t.Errorf("a document gave %v", err)
		}
		for _, decode := range []func(*output) error{
			func(o *output) error { _, err := Snapshots{}.decode(o); return err },
			func(o *output) error { _, err := CatConfig{}.decode(o); return err },
			func(o *output) error { _, err := ListKeys{}.decode(o); return err },
			func(o *output) error { _, err := GetVersion{}.decode(o); return err },
		} {
			_ = decode(&output{document: doc, items: &c.items})
		}
	})
}
