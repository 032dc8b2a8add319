package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"restic-manager/restic/listing"
)

// many are entries in folders of two hundred files each.
func many(entries int) []listing.Entry {
	at := time.Unix(1_700_000_000, 0)
	list := make([]listing.Entry, 0, entries)
	for n := 0; len(list) < entries; n++ {
		folder := fmt.Sprintf("folder-%06d", n)
		list = append(list, listing.Entry{Folder: "/", Name: folder, Type: listing.Dir, Mode: 0o755, ModTime: at})
		for k := 0; k < 200 && len(list) < entries; k++ {
			list = append(list, listing.Entry{
				Folder: "/" + folder, Name: fmt.Sprintf("file-%03d-%x.dat", k, (n*200+k)*2_654_435_761%1_000_003), Size: int64(n * k), Mode: 0o644,
				ModTime: at.Add(time.Duration(n*k) * time.Second),
			})
		}
	}
	return list
}

func TestEveryEntryOfALargeSnapshotIsFoundOnce(t *testing.T) {
	b := newBrowsed(t)
	entries := many(20_000)
	b.indexed(entries...)
	var want, got []string
	for i := range entries {
		want = append(want, entries[i].Path())
	}
	got = b.pages("/entries", url.Values{"path": {"/"}}, 200)
	for _, folder := range slices.Clone(got) {
		got = append(got, b.pages("/entries", url.Values{"path": {folder}}, 150)...)
	}
	found := b.pages("/search", url.Values{"q": {"*"}}, 200)
	for _, list := range [][]string{want, got, found} {
		slices.Sort(list)
	}
	if !slices.Equal(got, want) {
		t.Errorf("folder by folder there are %d entries, want %d", len(got), len(want))
	}
	if !slices.Equal(found, want) {
		t.Errorf("a search for everything finds %d entries, want %d", len(found), len(want))
	}
}

// asks is a request whose answer is not held against the contract, which takes longer
// than to make it.
func (b *browsed) asks(t testing.TB, path string) {
	t.Helper()
	if err := b.ask(t.Context(), path); err != nil {
		t.Fatal(err)
	}
}

// ask is asks for goroutines.
func (b *browsed) ask(ctx context.Context, path string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.w.http.URL+b.path+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Cookie", b.admin.cookie)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %d, %w", path, res.StatusCode, err)
	}
	return nil
}

// BenchmarkClick asks for folders of a snapshot of a million entries, and searches it.
func BenchmarkClick(b *testing.B) {
	w := newBrowsed(b)
	w.indexed(many(1_000_000)...)
	b.Run("folder", func(b *testing.B) {
		var took []time.Duration
		for n := 0; b.Loop(); n++ {
			began := time.Now()
			w.asks(b, fmt.Sprintf("/entries?path=/folder-%06d&page_size=50", n*7919%4975))
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	})
	b.Run("search", func(b *testing.B) {
		for b.Loop() {
			w.asks(b, "/search?q=no+such+name")
		}
	})
}
