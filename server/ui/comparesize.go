package ui

import (
	"net/url"
	"slices"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// A comparison says what changed, and not by how much: restic tells no sizes. Where the
// files of both snapshots are listed, the page puts them beside its rows.

// Bounds of what one page of rows reads in the lists of files.
const (
	foldersMeasured = 30 // of each snapshot
	pagesMeasured   = 5  // of each folder
)

// compare puts the sizes before and after to the rows of a comparison of two snapshots.
func (r *jobResult) compare(v *visit, j api.Job, o api.Operation) error {
	names := fieldsOf(o, "snapshot_id")
	at := slices.IndexFunc(r.Columns, func(c api.OperationColumn) bool { return c.Type == "path" })
	if len(names) != 2 || at < 0 || len(r.Rows) == 0 || j.RepositoryId == "" {
		return nil
	}
	var paths []string
	for _, row := range r.Rows {
		paths = append(paths, row.Cells[at].Text)
	}
	var unlisted []web.Link
	r.Columns = slices.Clone(r.Columns)
	for i, label := range []string{"Before", "After"} {
		snapshot := snapshotAsked(j, names[i])
		sizes, listed, err := v.sizesOf(string(j.RepositoryId), snapshot, paths)
		if err != nil {
			return err
		}
		if !listed {
			unlisted = append(unlisted, web.Link{Label: short(snapshot), Href: snapshotHref(string(j.RepositoryId), snapshot)})
			continue
		}
		r.Columns = append(r.Columns, api.OperationColumn{Name: strings.ToLower(label), Label: label, Type: "bytes"})
		for n, row := range r.Rows {
			cell := valueCell{Kind: "text"}
			if size, ok := sizes[paths[n]]; ok {
				cell = valueCell{Kind: "bytes", N: size}
			}
			r.Rows[n].Cells = append(row.Cells, cell)
		}
	}
	r.Unlisted = unlisted
	return nil
}

// sizesOf reads how large entries of a snapshot are; listed is false where its files were not
// listed yet. What is not in the snapshot, or too far on in a large folder, is left out.
func (v *visit) sizesOf(repository, snapshot string, paths []string) (sizes map[string]int64, listed bool, err error) {
	wanted := map[string][]string{} // by folder
	var folders []string
	for _, p := range paths {
		folder := folderOf(strings.TrimSuffix(p, "/"))
		if wanted[folder] == nil {
			folders = append(folders, folder)
		}
		wanted[folder] = append(wanted[folder], p)
	}
	sizes = map[string]int64{}
	for _, folder := range folders[:min(len(folders), foldersMeasured)] {
		missing := len(wanted[folder])
		q := url.Values{"path": {folder}, "page_size": {"200"}}
		for range pagesMeasured {
			page, err := get[api.EntryPage](v, snapshotAPI(repository, snapshot)+"/entries", q)
			if is(err, "snapshot_not_indexed") {
				return nil, false, nil
			}
			if problem, refused := err.(*problem); refused && problem.Status >= 400 && problem.Status < 500 && problem.Status != 401 {
				break // the folder is not there, or the snapshot is not
			}
			if err != nil {
				return nil, false, err
			}
			for _, e := range page.Entries {
				for _, p := range wanted[folder] {
					if strings.TrimSuffix(p, "/") == e.Path {
						sizes[p] = e.Size
						missing--
					}
				}
			}
			if page.NextPageToken == "" || missing <= 0 {
				break
			}
			q.Set("page_token", page.NextPageToken)
		}
	}
	return sizes, true, nil
}
