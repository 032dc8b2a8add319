package runner

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"

	"restic-manager/agent/spool"
	"restic-manager/restic"
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
