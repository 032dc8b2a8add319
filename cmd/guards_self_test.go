package cmd_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const guarded = `package p

func Allowed(s string) bool {
	if n := len(s); n > 3 { //guard:long
		return false
	}
	switch {
	case s == "",
		s == "no": //guard:refused
		return false
	}
	return true
}

type options struct {
	strict bool
	most   int
}

func defaults() options {
	o := options{
		strict: true, //guard:strict
		most:   1 << 4, //guard:most
	}
	o.most = min(o.most,
		8) //guard:least
	return o
}

func (o options) more() int {
	var n int
	if n = o.most; n > 8 { //guard:more
		return n
	}
	return 0
}

func log(lines *[]string) {
	add(lines, "begun") //guard:logged
}

func add(lines *[]string, line string) { *lines = append(*lines, line) }
`

const guardedTests = `package p

import "testing"

func TestLong(t *testing.T) {
	if Allowed("long") {
		t.Error("long was allowed")
	}
}

func TestRefused(t *testing.T) {
	if Allowed("no") {
		t.Error("no was allowed")
	}
}

func TestDefaults(t *testing.T) {
	if o := defaults(); !o.strict || o.most != 8 {
		t.Error(o)
	}
}

func TestMore(t *testing.T) {
	if o := (options{most: 9}); o.more() != 9 {
		t.Error(o)
	}
}

func TestLog(t *testing.T) {
	var lines []string
	if log(&lines); len(lines) != 1 {
		t.Error("nothing was logged")
	}
}

func TestLongThere(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {})
	t.Run("PostgreSQL", TestLong)
}

func TestNothing(t *testing.T) { Allowed("long") }

func TestBroken(t *testing.T) { t.Error("always") }
`

// TestAGuardIsOnlyProvenByATestThatFailsWithoutIt proves that TestGuardsAreProven
// can fail, on a module of its own.
func TestAGuardIsOnlyProvenByATestThatFailsWithoutIt(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a package for each guard")
	}
	root := t.TempDir()
	for path, text := range map[string]string{"go.mod": "module m\n\ngo 1.26\n", "p/p.go": guarded, "p/p_test.go": guardedTests} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	marks, err := findGuards(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProver(root, t.TempDir(), marks)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		twin
		want string
	}{
		{twin{"long", "p", "TestLong"}, failsWhenOff},
		{twin{"long", "p", "TestLongThere"}, failsWhenOff},
		{twin{"refused", "p", "TestRefused"}, failsWhenOff},
		{twin{"strict", "p", "TestDefaults"}, failsWhenOff},
		{twin{"most", "p", "TestDefaults"}, failsWhenOff},
		{twin{"more", "p", "TestMore"}, failsWhenOff},
		{twin{"least", "p", "TestDefaults"}, failsWhenOff},
		{twin{"logged", "p", "TestLog"}, failsWhenOff},
		{twin{"long", "p", "TestRefused"}, passesWhenOff},
		{twin{"long", "p", "TestNothing"}, passesWhenOff},
		{twin{"long", "p", "TestBroken"}, failsAnyway},
	} {
		got, err := p.prove(t.Context(), test.twin)
		if got != test.want || (err == nil) != (test.want != failsAnyway) {
			t.Errorf("%v: got %q, %v, want %q", test.twin, got, err, test.want)
		}
	}
	missing := twin{"long", "p", "TestMissing"}
	if _, err := p.prove(t.Context(), missing); err == nil || !isMissing(root, missing) {
		t.Error("a test that does not exist is no error")
	}
	broken, err := newProver(root, t.TempDir(), map[string][]mark{"x": {{"x", "p/p.go", span{0, 7, statementForm}}}}) // what does not compile proves nothing
	if err != nil {
		t.Fatal(err)
	}
	if _, err := broken.prove(t.Context(), twin{"x", "p", "TestLong"}); err == nil {
		t.Error("what does not compile is no error")
	}
}

const togetherTests = `package p_test

import (
	"testing"

	"m/p"
)

var dirty bool

func TestA(t *testing.T) {
	if p.Allowed("long") {
		t.Error("long was allowed")
	}
}

func TestB(t *testing.T) {
	if p.Allowed("no") {
		panic("no was allowed")
	}
	if p.Allowed("long") {
		t.Error("long was allowed")
	}
}

func TestC(t *testing.T) { p.Allowed("long") }

func TestD(t *testing.T) {
	if dirty = dirty || p.Allowed("long"); dirty {
		t.Error("long was allowed once")
	}
}

func TestE(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {})
	t.Run("PostgreSQL", TestA)
}

func TestF(t *testing.T) { t.Error("always") }

func TestG(t *testing.T) {
	if p.Allowed("no") {
		t.Error("no was allowed")
	}
}
`

// TestOneProcessProvesOnlyWhatStandsAfterIt proves twins of two packages of tests
// together. The process dies in one of them, and another one is never well again.
func TestOneProcessProvesOnlyWhatStandsAfterIt(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a package for each guard")
	}
	root := t.TempDir()
	texts := map[string]string{"go.mod": "module m\n\ngo 1.26\n", "p/p.go": guarded, "p/p_test.go": guardedTests, "p/q_test.go": togetherTests}
	for path, text := range texts {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	twins := []twin{
		{"strict", "p", "TestDefaults"}, {"refused", "p", "TestG"}, {"most", "p", "TestDefaults"}, {"long", "p", "TestA"}, {"refused", "p", "TestB"}, {"long", "p", "TestB"},
		{"long", "p", "TestC"}, {"long", "p", "TestD"}, {"long", "p", "TestE"}, {"long", "p", "TestF"},
	}
	want := []twin{{"long", "p", "TestA"}, {"long", "p", "TestB"}, {"most", "p", "TestDefaults"}, {"refused", "p", "TestG"}, {"strict", "p", "TestDefaults"}}
	marks, err := findGuards(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	list, err := shards(os.DirFS(root), twins)
	if err != nil || len(list) != 2 {
		t.Fatalf("got %v, %v, want a shard of each package of tests", list, err)
	}
	p, err := newProver(root, t.TempDir(), marks, list...)
	if err != nil {
		t.Fatal(err)
	}
	proven := p.proveTogether(t, list)
	got := slices.SortedFunc(maps.Keys(proven), func(a, b twin) int { return strings.Compare(a.guard+a.test, b.guard+b.test) })
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestShardsKeepTheTwinsOfATestTogether(t *testing.T) {
	fsys := fstest.MapFS{"p/p_test.go": {Data: []byte("package p\n")}}
	var twins []twin
	for i := range 3 * shardSize {
		name := fmt.Sprintf("Test%02d", i/5)
		twins = append(twins, twin{fmt.Sprint("guard-", i), "p", name})
		if i%5 == 0 {
			fsys["p/p_test.go"].Data = append(fsys["p/p_test.go"].Data, "\nfunc "+name+"(t *testing.T) {}\n"...)
		}
	}
	list, err := shards(fsys, twins)
	if err != nil {
		t.Fatal(err)
	}
	where, dealt := map[string]int{}, 0
	for i, s := range list {
		dealt += len(s.twins)
		for _, own := range s.twins {
			if at, ok := where[own.test]; ok && at != i {
				t.Errorf("%s is in two shards", own.test)
			}
			where[own.test] = i
		}
	}
	if dealt != len(twins) || len(list) < 2 {
		t.Errorf("%d of %d twins are in %d shards", dealt, len(twins), len(list))
	}
}

func isMissing(root string, t twin) bool {
	_, err := declared(os.DirFS(root), t)
	return err != nil
}

func TestMarksAndTableMustAgree(t *testing.T) {
	text, _, _ := strings.Cut(guarded, "type options")
	fsys := fstest.MapFS{"p/p.go": {Data: []byte(text)}}
	marks, err := findGuards(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(marks["refused"]); got != 2 {
		t.Errorf("got %d marks of a case with two conditions", got)
	}
	got := strings.Join(checkGuards(marks, []twin{{"long", "p", "T"}, {"gone", "p", "T"}}), "\n")
	if want := "gone is in the table and marked nowhere\nrefused is marked and has no test in the table"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	fsys["p/q.go"] = &fstest.MapFile{Data: []byte("package p\n\nfunc f() {\n\tx := 1 //guard:nothing\n\t_ = x\n}\n")}
	if _, err := findGuards(fsys); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("a mark at nothing: got %v", err)
	}
}
