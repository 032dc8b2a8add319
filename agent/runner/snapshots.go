package runner

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

const (
	partSize        = 512 << 10
	deliverDeadline = time.Hour
)

// runSnapshots lists the repository and hands the listing over, whole.
func runSnapshots(ctx context.Context, t *Task) *Ending {
	if _, e := t.pinned(ctx); e != nil {
		return e
	}
	listed, e := perform(ctx, t, restic.Snapshots{})
	if e != nil {
		return e
	}
	listing, err := packListing(listed.Value)
	if err != nil {
		return failed(CodeListingNotDelivered, err.Error(), "")
	}
	if err := t.deliver(ctx, "snapshots", listing); err != nil {
		if ctx.Err() != nil {
			return stopped(ctx)
		}
		return failed(CodeListingNotDelivered, "the listing could not be handed over: "+err.Error(), "run it again when the server is reached")
	}
	return &Ending{Outcome: spool.Outcome{
		Result:  spool.Succeeded,
		Message: fmt.Sprintf("the repository has %d snapshots", len(listed.Value)),
	}}
}

// packListing writes one record a line, compressed.
func packListing(snapshots []restic.Snapshot) ([]byte, error) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	lines := json.NewEncoder(zip)
	for _, s := range snapshots {
		if err := lines.Encode(recordOf(s)); err != nil {
			return nil, fmt.Errorf("write listing: %w", err)
		}
	}
	if err := zip.Close(); err != nil {
		return nil, fmt.Errorf("write listing: %w", err)
	}
	return packed.Bytes(), nil
}

// deliver hands over a result in parts, from wherever the other side wants it. An
// empty result is one empty last part.
func (t *Task) deliver(ctx context.Context, name string, result []byte) error {
	ctx, cancel := context.WithTimeout(ctx, deliverDeadline)
	defer cancel()
	total := int64(len(result))
	for offset := int64(0); ; {
		to := min(offset+partSize, total)
		next, err := t.runner.listings.Put(ctx, t.Job.ID, name, offset, result[offset:to], to == total)
		switch {
		case err != nil:
			return err
		case next < 0 || next > total: //guard:listing-offset
			return fmt.Errorf("the server asked for byte %d of %d", next, total)
		case next == total && to == total:
			return nil
		case next == offset && to > offset:
			return fmt.Errorf("the server took nothing from byte %d on", offset)
		}
		offset = next
	}
}
