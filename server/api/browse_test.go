package api_test

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/restic/listing"
	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// browsed is a snapshot that a test browses.
type browsed struct {
	*attending
	admin      *client
	repository string
	snapshot   string
	path       string // of the snapshot in the contract
}

// newBrowsed is a host with a snapshot that nobody has browsed yet.
func newBrowsed(t testing.TB) *browsed {
	t.Helper()
	w, admin, a, h := newAttending(t)
	repositories, _, err := w.store.Repositories(t.Context(), store.RepositoryFilter{}, store.Page{})
	if err != nil || len(repositories) != 1 {
		t.Fatalf("got %d repositories, %v", len(repositories), err)
	}
	b := &browsed{attending: a, admin: admin, repository: string(repositories[0].ID), snapshot: strings.Repeat("ab", 32)}
	b.path = "/api/v1/repositories/" + b.repository + "/snapshots/" + b.snapshot
	b.see(b.snapshot, h.Host.Id, time.Now())
	return b
}

func (b *browsed) see(id, host string, at time.Time) {
	b.w.t.Helper()
	err := b.w.store.Write(b.w.t.Context(), func(tx *store.Tx) error {
		if err := tx.SeeSnapshots(b.w.t.Context(), []fleet.Snapshot{{
			RepositoryID: fleet.RepositoryID(b.repository), ID: id, HostID: fleet.HostID(host), Time: fleet.At(at), FirstSeen: tx.Now, LastSeen: tx.Now,
			Hostname: "of " + host, Paths: fleet.NewList([]string{"/srv"}), Tags: fleet.NewList([]string{}),
		}}); err != nil {
			return err
		}
		return tx.CountSnapshots(b.w.t.Context(), fleet.RepositoryID(b.repository))
	})
	if err != nil {
		b.w.t.Fatal(err)
	}
}

// indexed has the snapshot's index made by the agent, of these entries.
func (b *browsed) indexed(entries ...listing.Entry) {
	b.w.t.Helper()
	if err := b.w.store.FlushContacts(b.w.t.Context()); err != nil {
		b.w.t.Fatal(err)
	}
	detail := into[api.SnapshotDetail](b.admin.must(http.StatusOK, "POST", b.path+"/index", nil))
	if detail.Index.State != api.SnapshotIndexStateBuilding || detail.Index.JobId == "" {
		b.w.t.Fatalf("asked for, the index is %+v", detail.Index)
	}
	b.sync(0)
	container := containerOf(b.w.t, entries)
	put := b.with("Content-Type", "application/octet-stream")
	for at := 0; at < len(container); at += 512 << 10 {
		end := min(at+512<<10, len(container))
		put.must(http.StatusOK, "PUT", fmt.Sprintf("/agent/v1/jobs/%s/artifacts/index?offset=%d&last=%v", detail.Index.JobId, at, end == len(container)), string(container[at:end]))
	}
}

func containerOf(t testing.TB, entries []listing.Entry) []byte {
	t.Helper()
	var out bytes.Buffer
	index := listing.NewWriter(&out)
	for _, e := range entries {
		if err := index.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := index.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (b *browsed) pages(path string, query url.Values, size int) []string {
	b.w.t.Helper()
	query.Set("page_size", fmt.Sprint(size))
	var found []string
	for {
		page := into[api.EntryPage](b.admin.must(http.StatusOK, "GET", b.path+path+"?"+query.Encode(), nil))
		for _, e := range page.Entries {
			found = append(found, e.Path)
		}
		if page.NextPageToken == "" {
			return found
		}
		query.Set("page_token", page.NextPageToken)
	}
}

// tree are two folders and some files, in restic's order.
func tree() []listing.Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	dir := func(folder, name string) listing.Entry {
		return listing.Entry{Folder: folder, Name: name, Type: listing.Dir, Mode: 0o755, ModTime: at}
	}
	file := func(folder, name string, size int64) listing.Entry {
		return listing.Entry{Folder: folder, Name: name, Size: size, Mode: 0o644, ModTime: at}
	}
	return []listing.Entry{
		dir("/", "srv"), file("/srv", "<img src=x onerror=y>", 2), dir("/srv", "a"), file("/srv/a", "Report.PDF", 5), file("/srv/a", "notes.txt", 7),
		file("/srv", "b.txt", 1), dir("/srv", "c"), {Folder: "/srv/c", Name: "link", Type: listing.Symlink, Mode: 0o777, ModTime: at},
		file("/srv", "lösung*.txt", 3),
	}
}

func TestASnapshotIsBrowsedAndSearched(t *testing.T) {
	b := newBrowsed(t)
	for _, path := range []string{"/entries?path=/", "/search?q=x"} {
		b.admin.refused(http.StatusConflict, fleet.SnapshotNotIndexed, "GET", b.path+path, nil)
	}
	before := into[api.SnapshotDetail](b.admin.must(http.StatusOK, "GET", b.path, nil))
	if before.Index.State != api.SnapshotIndexStateNone || before.Snapshot.Id != b.snapshot || before.Snapshot.HostName != "web-1" {
		t.Errorf("before it is browsable it is %+v", before)
	}
	waiting := b.admin.parked(fmt.Sprintf("%s?wait=25&if_version=%d", b.path, before.Version))
	b.indexed(tree()...)
	if got := into[api.SnapshotDetail](<-waiting); got.Version == before.Version || got.Index.State == api.SnapshotIndexStateNone {
		t.Errorf("who waited was told %+v", got.Index)
	}
	after := into[api.SnapshotDetail](b.admin.must(http.StatusOK, "GET", b.path, nil))
	if after.Index.State != api.SnapshotIndexStateReady || after.Index.Entries != 9 || after.Index.Bytes == 0 {
		t.Errorf("the index is %+v", after.Index)
	}
	for _, c := range []struct {
		path  string
		query url.Values
		want  []string
	}{
		{"/entries", url.Values{}, []string{"/srv"}},
		{"/entries", url.Values{"path": {"/srv"}}, []string{"/srv/a", "/srv/c", "/srv/<img src=x onerror=y>", "/srv/b.txt", "/srv/lösung*.txt"}},
		{"/entries", url.Values{"path": {"/srv/a/"}}, []string{"/srv/a/Report.PDF", "/srv/a/notes.txt"}},
		{"/search", url.Values{"q": {"report"}}, []string{"/srv/a/Report.PDF"}},
		{"/search", url.Values{"q": {"*.txt"}}, []string{"/srv/a/notes.txt", "/srv/b.txt", "/srv/lösung*.txt"}},
		{"/search", url.Values{"q": {"*.txt"}, "under": {"/srv/a"}}, []string{"/srv/a/notes.txt"}},
		{"/search", url.Values{"q": {"/srv/?.txt"}}, []string{"/srv/b.txt"}},
		{"/search", url.Values{"q": {"LÖSUNG"}}, []string{"/srv/lösung*.txt"}},
		{"/search", url.Values{"q": {"nothing of that name"}}, nil},
	} {
		for _, size := range []int{1, 2, 200} {
			got := b.pages(c.path, c.query, size)
			c.query.Del("page_token")
			want := c.want
			if c.path == "/search" { // they come in the order of the index
				slices.Sort(got)
				want = slices.Sorted(slices.Values(want))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %v by %d gave %q, want %q", c.path, c.query, size, got, want)
			}
		}
	}
	page := into[api.EntryPage](b.admin.must(http.StatusOK, "GET", b.path+"/entries?path=/srv", nil))
	a, link := page.Entries[0], into[api.EntryPage](b.admin.must(http.StatusOK, "GET", b.path+"/entries?path=/srv/c", nil)).Entries[0]
	if a.Type != api.Dir || a.Files != 2 || a.Size != 12 || a.Mode != "drwxr-xr-x" {
		t.Errorf("the folder is %+v", a)
	}
	if link.Type != api.Symlink || link.Mode != "Lrwxrwxrwx" {
		t.Errorf("the link is %+v", link)
	}
}

func TestWhatCannotBeBrowsedIsRefused(t *testing.T) {
	b := newBrowsed(t)
	nobody := strings.Repeat("0", 64)
	elsewhere := "/api/v1/repositories/" + b.repository + "/snapshots/" + nobody
	for method, path := range map[string]string{"GET": elsewhere, "POST": elsewhere + "/index"} {
		b.admin.refused(http.StatusNotFound, fleet.NotFound, method, path, nil)
	}
	b.admin.refused(http.StatusNotFound, fleet.NotFound, "GET", elsewhere+"/entries", nil)
	b.admin.refused(http.StatusNotFound, fleet.NotFound, "GET", elsewhere+"/search?q=x", nil)
	b.indexed(tree()...)
	b.admin.refused(http.StatusNotFound, fleet.NotFound, "GET", b.path+"/entries?path=/etc", nil)
	b.admin.refused(http.StatusNotFound, fleet.NotFound, "GET", b.path+"/entries?path=/srv/b.txt", nil)
	b.admin.refused(http.StatusNotFound, fleet.NotFound, "GET", b.path+"/entries?path=/srv/../srv", nil)
	b.admin.refused(http.StatusNotFound, fleet.NotFound, "GET", b.path+"/search?q=x&under=/etc", nil)
	b.admin.refused(http.StatusBadRequest, fleet.Invalid, "GET", b.path+"/search", nil)
	first := into[api.EntryPage](b.admin.must(http.StatusOK, "GET", b.path+"/entries?path=/srv&page_size=1", nil))
	for _, query := range []string{"/entries?path=/srv/a&page_token=", "/search?q=txt&page_token="} {
		b.admin.refused(http.StatusBadRequest, fleet.InvalidPageToken, "GET", b.path+query+first.NextPageToken, nil)
	}
	forged, err := store.PositionToken("99999.9.9", "entries", b.repository, b.snapshot, "/srv")
	if err != nil {
		t.Fatal(err)
	}
	b.admin.refused(http.StatusBadRequest, fleet.InvalidPageToken, "GET", b.path+"/entries?path=/srv&page_token="+forged, nil)
}

// What an agent says of a snapshot may be a lie in a block that only a click reads.
func TestAnIndexThatTurnsOutDamagedCanBeMadeAgain(t *testing.T) {
	b := newBrowsed(t)
	b.indexed(tree()...)
	l, err := b.w.store.Index(t.Context(), fleet.RepositoryID(b.repository), b.snapshot)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := b.w.store.IndexBlocks(t.Context(), l, listing.KindEntries, 0, 10)
	if err != nil || len(blocks) != 1 {
		t.Fatalf("got %d blocks, %v", len(blocks), err)
	}
	// Another snapshot gets the index with a block of entries that is none.
	other := *b
	other.snapshot = strings.Repeat("cd", 32)
	other.path = strings.Replace(b.path, b.snapshot, other.snapshot, 1)
	other.see(other.snapshot, b.host, time.Now())
	container := containerOf(t, tree())
	bad := bytes.Replace(container, blocks[0].Data, bytes.Repeat([]byte{7}, len(blocks[0].Data)), 1)
	detail := into[api.SnapshotDetail](other.admin.must(http.StatusOK, "POST", other.path+"/index", nil))
	other.sync(0)
	other.with("Content-Type", "application/octet-stream").must(http.StatusOK, "PUT", "/agent/v1/jobs/"+detail.Index.JobId+"/artifacts/index?offset=0&last=true", string(bad))
	other.admin.refused(http.StatusConflict, fleet.SnapshotNotIndexed, "GET", other.path+"/entries", nil)
	got := into[api.SnapshotDetail](other.admin.must(http.StatusOK, "GET", other.path, nil))
	if got.Index.State != api.SnapshotIndexStateFailed || got.Index.Message == "" {
		t.Errorf("the index is %+v", got.Index)
	}
	if got := b.pages("/entries", url.Values{}, 10); len(got) != 1 {
		t.Errorf("the other snapshot has %q", got)
	}
}

func TestSnapshotsAreFoundByMachineAndTime(t *testing.T) {
	b := newBrowsed(t)
	old, gone := strings.Repeat("01", 32), strings.Repeat("02", 32)
	b.see(old, b.host, time.Now().Add(-48*time.Hour))
	b.see(gone, "", time.Now().Add(-24*time.Hour)) // of a host that was deleted
	list := func(query url.Values) (ids []string) {
		t.Helper()
		for _, s := range into[api.SnapshotPage](b.admin.must(http.StatusOK, "GET", "/api/v1/snapshots?"+query.Encode(), nil)).Snapshots {
			ids = append(ids, s.Id)
		}
		return ids
	}
	ago := func(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339) }
	for _, c := range []struct {
		query url.Values
		want  []string
	}{
		{url.Values{}, []string{b.snapshot, gone, old}},
		{url.Values{"host_id": {b.host}}, []string{b.snapshot, old}},
		{url.Values{"hostname": {"of "}}, []string{gone}},
		{url.Values{"from": {ago(30 * time.Hour)}}, []string{b.snapshot, gone}},
		{url.Values{"to": {ago(30 * time.Hour)}}, []string{old}},
		{url.Values{"from": {ago(30 * time.Hour)}, "to": {ago(time.Hour)}, "repository_id": {b.repository}}, []string{gone}},
	} {
		if got := list(c.query); !slices.Equal(got, c.want) {
			t.Errorf("%v gave %v, want %v", c.query, got, c.want)
		}
	}
}

// TestASearchGoesOnUntilItFindsSomething has so much to compare that one round of the
// index's own search, or a few, do not come to the only hit, which lies at the end.
func TestASearchGoesOnUntilItFindsSomething(t *testing.T) {
	b := newBrowsed(t)
	at := time.Unix(1_700_000_000, 0)
	var entries []listing.Entry
	folder := ""
	for n := range 31 {
		name := strings.Repeat(string(rune('a'+n%13)), 255)
		entries = append(entries, listing.Entry{Folder: cmp.Or(folder, "/"), Name: name, Type: listing.Dir, Mode: 0o755, ModTime: at})
		folder += "/" + name
	}
	for n := range 150_000 {
		entries = append(entries, listing.Entry{Folder: folder, Name: fmt.Sprintf("%06d", n), Mode: 0o644, ModTime: at})
	}
	entries = append(entries, listing.Entry{Folder: "/", Name: "zzz", Mode: 0o644, ModTime: at})
	b.indexed(entries...)
	page := into[api.EntryPage](b.admin.must(http.StatusOK, "GET", b.path+"/search?q=/zzz", nil))
	if len(page.Entries) != 1 || page.Entries[0].Path != "/zzz" {
		t.Errorf("the first page has %d entries, and a next one: %v", len(page.Entries), page.NextPageToken != "")
	}
}
