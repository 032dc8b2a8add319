package job

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// ArtifactRows are the rows of a result: each part is gzip of whole lines, one JSON
// object each.
const ArtifactRows = "rows"

// The limits of a result.
const (
	maxRows      = 1_000_000
	maxRowsBytes = 32 << 20 // compressed, of a job
	maxPartRows  = 5000
	maxChunks    = 20_000 // of a job: parts of fifty rows are enough for all that it may have
	maxPartPlain = 4 << 20
	maxRow       = 64 << 10
)

// DefaultRowsBytes is what the results of a host's jobs take together, if nobody says
// otherwise. The oldest make room for new ones.
const DefaultRowsBytes = 512 << 20

// putRows takes a part of a result. Each is checked when it comes and kept as it is.
func (s *Service) putRows(ctx context.Context, j *fleet.Job, p Part) (next int64, complete bool, err error) {
	if op, known := restic.OperationNamed(j.Operation); known && len(op.Rows) == 0 {
		return 0, false, fleet.Errorf(fleet.NotFound, "The result of this operation has no rows.")
	}
	count := int64(0)
	if len(p.Data) > 0 {
		lines, err := readRows(p.Data)
		if err != nil {
			return 0, false, fleet.Wrap(fleet.InvalidField, err, "These rows cannot be taken: %s.", err)
		}
		count = int64(len(lines))
	}
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		next, complete, err = s.addRows(ctx, tx, j, p, count)
		return err
	})
	return next, complete, err
}

func (s *Service) addRows(ctx context.Context, tx *store.Tx, j *fleet.Job, p Part, count int64) (next int64, complete bool, err error) {
	locked, err := tx.LockJob(ctx, j.ID)
	if err != nil {
		return 0, false, err
	}
	came, err := tx.RowsSize(ctx, j.ID)
	if err != nil {
		return 0, false, err
	}
	size, rows := came.Bytes, came.Rows
	end := p.Offset + int64(len(p.Data))
	switch {
	case p.Offset < size && end <= size, locked.Rows > 0: // it is here
		return size, locked.Rows > 0, nil
	case p.Offset != size:
		e := fleet.Errorf(fleet.ArtifactOffset, "The next part begins at %d.", size)
		e.Extra = map[string]int64{"expected_offset": size}
		return 0, false, e
	}
	if len(p.Data) > 0 {
		if came.Chunks >= maxChunks { //guard:rows-chunks
			return 0, false, fleet.Errorf(fleet.BodyTooLarge, "A result comes in at most %d parts.", maxChunks)
		}
		if err := s.room(ctx, tx, j, end, rows+count, len(p.Data)); err != nil {
			return 0, false, err
		}
		chunk := &fleet.RowChunk{JobID: j.ID, Offset: p.Offset, First: rows + 1, Count: count, Data: p.Data}
		if err := tx.AddRowChunk(ctx, chunk); err != nil {
			return 0, false, err
		}
		rows += count
	}
	if !p.Last {
		return end, false, nil
	}
	return end, true, tx.CompleteRows(ctx, j.ID, rows)
}

// room refuses what would make a result too large, and removes the oldest results of the
// host where there is no room for this one. What is left then is of jobs that have not
// ended: those wait for each other.
func (s *Service) room(ctx context.Context, tx *store.Tx, j *fleet.Job, end, rows int64, more int) error {
	if end > maxRowsBytes || rows > maxRows { //guard:rows-size
		return fleet.Errorf(fleet.BodyTooLarge, "A result has at most %d rows and %d bytes.", maxRows, maxRowsBytes)
	}
	most := cmp.Or(s.RowsBytes, DefaultRowsBytes)
	for {
		kept, err := tx.RowsOfHost(ctx, j.HostID)
		if err != nil || kept+int64(more) <= most {
			return err
		}
		dropped, err := tx.DropOldestRows(ctx, j.HostID)
		if err != nil {
			return err
		}
		if !dropped {
			return fleet.Errorf(fleet.TooManyRequests, "Jobs of this host that have not ended hold %d bytes of results; wait for the end of one.", kept)
		}
	}
}

// readRows decompresses a chunk and checks that each line is one object.
func readRows(chunk []byte) ([]json.RawMessage, error) {
	plain, err := gzip.NewReader(bytes.NewReader(chunk))
	if err != nil {
		return nil, errors.New("they are not gzip")
	}
	limited := &io.LimitedReader{R: plain, N: maxPartPlain + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 16<<10), maxRow)
	var rows []json.RawMessage
	for lines.Scan() {
		row := bytes.TrimSpace(lines.Bytes())
		switch {
		case len(row) == 0:
			continue
		case len(rows) == maxPartRows: //guard:rows-part
			return nil, fmt.Errorf("a part has at most %d", maxPartRows)
		case row[0] != '{' || !json.Valid(row): //guard:rows-object
			return nil, fmt.Errorf("row %d is no object", len(rows)+1)
		}
		rows = append(rows, bytes.Clone(row))
	}
	switch {
	case lines.Err() != nil:
		return nil, errors.New("they cannot be decompressed, or one is too long")
	case limited.N == 0:
		return nil, fmt.Errorf("a part has at most %d bytes when it is decompressed", maxPartPlain)
	case len(rows) == 0:
		return nil, errors.New("there is none in it")
	}
	return rows, nil
}

// Rows reads a page of a job's result, in the order in which its agent found the rows,
// and how many there are; that is 0 until all have come.
//
// It fails with NotFound and InvalidPageToken.
func (s *Service) Rows(ctx context.Context, id fleet.JobID, p store.Page) (rows []json.RawMessage, total int64, next string, err error) {
	err = s.Store.View(ctx, func(q store.Queries) error {
		j, err := q.Job(ctx, id)
		if err != nil {
			return err
		}
		total = j.Rows
		after, err := store.RowPage(id, p)
		if err != nil {
			return err
		}
		if rows, err = rowsAfter(ctx, q, id, after, p.Limit()+1); err != nil || len(rows) <= p.Limit() {
			return err
		}
		rows = rows[:p.Limit()]
		next, err = store.RowToken(id, after+int64(len(rows)))
		return err
	})
	return rows, total, next, err
}

func rowsAfter(ctx context.Context, q store.Queries, id fleet.JobID, after int64, limit int) ([]json.RawMessage, error) {
	var rows []json.RawMessage
	for len(rows) < limit {
		chunk, err := q.RowChunk(ctx, id, after+1)
		if fleet.Is(err, fleet.NotFound) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		list, err := readRows(chunk.Data)
		if err != nil || int64(len(list)) != chunk.Count {
			return nil, fmt.Errorf("read rows %d and on of job %s: damaged (%w)", chunk.First, id, err)
		}
		list = list[after+1-chunk.First:]
		list = list[:min(len(list), limit-len(rows))]
		rows, after = append(rows, list...), after+int64(len(list))
	}
	return rows, nil
}
