package runner

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"restic-manager/agent/spool"
	"restic-manager/restic/restictest"
)

// takes is a server that takes what it is given, unless it answers otherwise.
type takes struct {
	mu     sync.Mutex
	parts  [][]byte
	whole  []byte
	last   bool
	answer func(offset int64, part []byte) int64
	err    error
}

func (s *takes) Put(_ context.Context, _, _ string, offset int64, part []byte, last bool) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	s.parts = append(s.parts, part)
	if s.answer != nil {
		if next := s.answer(offset, part); next != offset+int64(len(part)) {
			s.whole = s.whole[:next]
			return next, nil
		}
	}
	if offset == int64(len(s.whole)) {
		s.whole = append(s.whole, part...)
		s.last = last
	}
	return int64(len(s.whole)), nil
}

// rowsAt begins rows that go to a server.
func rowsAt(t *testing.T, server Listings) (*Task, *rows) {
	t.Helper()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	p.options.Listings = server
	task := &Task{runner: New(p.options)}
	t.Cleanup(task.discardUploads)
	return task, task.rows(t.Context())
}

type testRow struct {
	Number int      `json:"number"`
	Path   string   `json:"path"`
	Tags   []string `json:"tags,omitempty"`
}

func mustAdd(t *testing.T, r *rows, row testRow) {
	t.Helper()
	if err := r.Add(row); err != nil {
		t.Fatal(err)
	}
}

// noise does not compress.
func noise(n int) string {
	raw := make([]byte, n)
	rand.Read(raw)
	return base64.StdEncoding.EncodeToString(raw)
}

// unpacked reads one part, which must stand alone.
func unpacked(t *testing.T, part []byte) (list []testRow, plain int) {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(part))
	if err != nil {
		t.Fatal(err)
	}
	zip.Multistream(false)
	lines := bufio.NewReader(zip)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return list, plain
		}
		var row testRow
		if err := errors.Join(err, json.Unmarshal(line, &row)); err != nil {
			t.Fatal(err)
		}
		list, plain = append(list, row), plain+len(line)
	}
}

func TestRowsTravelInPartsThatStandAlone(t *testing.T) {
	for name, filler := range map[string]func() string{
		"short rows":                   func() string { return "" },
		"rows that do not compress":    func() string { return noise(300) },
		"rows of the largest size":     func() string { return noise(maxRow * 5 / 8) },
		"long rows that compress well": func() string { return strings.Repeat("x", 20_000) },
	} {
		t.Run(name, func(t *testing.T) {
			server := &takes{}
			_, r := rowsAt(t, server)
			const count = 12_001
			want := count
			for i := range count {
				if i == 400 && name != "short rows" && name != "rows that do not compress" {
					want = i
					break
				}
				mustAdd(t, r, testRow{Number: i, Path: filler()})
			}
			if n, err := r.Close(); err != nil || n != int64(want) {
				t.Fatalf("%d rows, %v", n, err)
			}
			next := 0
			for _, part := range server.parts {
				list, plain := unpacked(t, part)
				if len(list) > maxPartRows || plain > maxPartPlain || len(part) > partSize {
					t.Errorf("a part has %d rows, %d bytes plain, %d compressed", len(list), plain, len(part))
				}
				for _, row := range list {
					if row.Number != next {
						t.Fatalf("row %d came in the place of %d", row.Number, next)
					}
					next++
				}
			}
			if next != want || !server.last {
				t.Errorf("%d of %d rows came, and the last part was marked: %v", next, want, server.last)
			}
		})
	}
}

func TestRowsAreHandedOverWhileTheyAreMade(t *testing.T) {
	arrived := make(chan struct{}, 10)
	server := &takes{answer: func(offset int64, part []byte) int64 {
		arrived <- struct{}{}
		return offset + int64(len(part))
	}}
	_, r := rowsAt(t, server)
	for i := range 2*maxPartRows + 1 {
		mustAdd(t, r, testRow{Number: i})
	}
	<-arrived // before the end: nobody has closed anything
	if _, err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRowsThatAServerLostAreSentAgain(t *testing.T) {
	var forgotten bool
	server := &takes{}
	server.answer = func(offset int64, part []byte) int64 {
		if offset > 0 && !forgotten {
			forgotten = true
			return 0
		}
		return offset + int64(len(part))
	}
	_, r := rowsAt(t, server)
	for i := range 3 * maxPartRows {
		mustAdd(t, r, testRow{Number: i})
	}
	if _, err := r.Close(); err != nil || !forgotten {
		t.Fatal(err, forgotten)
	}
	zip, err := gzip.NewReader(bytes.NewReader(server.whole))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(zip)
	if n := bytes.Count(all, []byte("\n")); err != nil || n != 3*maxPartRows {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestARowThatIsTooLongIsCutWhereOneSeesIt(t *testing.T) {
	server := &takes{}
	_, r := rowsAt(t, server)
	mustAdd(t, r, testRow{Number: 7, Path: strings.Repeat("ä", maxRow), Tags: []string{strings.Repeat("t", maxRow), "short"}})
	e := r.into(outcomeOf("found"))
	if e.Rows != 1 || !strings.Contains(e.Message, "1 rows were too long") {
		t.Errorf("%d rows: %s", e.Rows, e.Message)
	}
	list, _ := unpacked(t, server.whole)
	if len(list) != 1 || list[0].Number != 7 || !strings.HasSuffix(list[0].Path, "ä…") || list[0].Tags[1] != "short" {
		t.Errorf("%.100v", list)
	}
}

func TestRowsAfterTheMostAreCountedAndToldOf(t *testing.T) {
	server := &takes{}
	_, r := rowsAt(t, server)
	r.taken = maxRows - 1
	for i := range 3 {
		mustAdd(t, r, testRow{Number: i})
	}
	if e := r.into(outcomeOf("")); e.Rows != maxRows || !strings.Contains(e.Message, "2 more are not in it") {
		t.Errorf("%d rows: %s", e.Rows, e.Message)
	}
	if list, _ := unpacked(t, server.whole); len(list) != 1 {
		t.Errorf("%d rows came", len(list))
	}
}

func TestRowsThatAreTooManyBytesAreCountedAndToldOf(t *testing.T) {
	server := &takes{}
	_, r := rowsAt(t, server)
	for r.omitted == 0 {
		mustAdd(t, r, testRow{Path: noise(maxRow * 5 / 8)})
	}
	if e := r.into(outcomeOf("")); len(server.whole) > 32<<20 || len(server.whole) < 30<<20 || !strings.Contains(e.Message, "1 more are not in it") {
		t.Errorf("%d bytes, %d rows: %s", len(server.whole), e.Rows, e.Message)
	}
}

func TestAResultThatNobodyTakesIsAFailureAndLeavesNoFile(t *testing.T) {
	task, r := rowsAt(t, &takes{err: errors.New("no such job")})
	for i := range 10 {
		mustAdd(t, r, testRow{Number: i})
	}
	if e := r.into(outcomeOf("")); e.Result != spool.Failed || e.Code != CodeListingNotDelivered {
		t.Errorf("%+v", e.Outcome)
	}
	folder := filepath.Dir(task.uploads[0].file.Name())
	task.discardUploads()
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

func TestAResultWithoutRowsIsNotHandedOver(t *testing.T) {
	server := &takes{}
	_, r := rowsAt(t, server)
	if e := r.into(outcomeOf("nothing found")); e.Rows != 0 || e.Result != spool.Succeeded || len(server.parts) > 0 {
		t.Errorf("%+v, %d parts", e.Outcome, len(server.parts))
	}
}

func TestFactsTravelWithTheOutcomeAndAreCutWhereTheyAreTooLarge(t *testing.T) {
	e := outcomeOf("")
	e.facts(map[string]any{"count": 9007199254740993, "long": strings.Repeat("<", maxFacts), "list": strings.Split(strings.Repeat("abcdefgh,", 10_000), ",")})
	var got struct {
		Count json.Number
		Long  string
		List  []string
	}
	if err := json.Unmarshal(e.Facts, &got); err != nil {
		t.Fatal(err)
	}
	if len(e.Facts) > maxFacts || got.Count != "9007199254740993" || !strings.HasSuffix(got.Long, "<…") || got.List[len(got.List)-1] != "…" {
		t.Errorf("%d bytes: %.200s", len(e.Facts), e.Facts)
	}
}
