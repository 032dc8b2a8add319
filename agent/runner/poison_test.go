//go:build linux

package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"restic-manager/agent/spool"
	"restic-manager/restic/restictest"
)

// poison stores a second copy of each data blob, with other content, and an index that
// says so: whoever has the password and the append credential can do that (L4).
func (n *nas) poison() (pack string) {
	n.t.Helper()
	var key restictest.MasterKey
	if err := json.Unmarshal([]byte(n.restic("cat", "masterkey", "--no-lock", "--quiet")), &key); err != nil {
		n.t.Fatal(err)
	}
	type entry struct {
		ID     string `json:"id"`
		Type   string `json:"type"`
		Offset int    `json:"offset"`
		Length int    `json:"length"`
	}
	var file, header bytes.Buffer
	var entries []entry
	for line := range strings.Lines(n.restic("list", "blobs", "--no-lock", "--quiet")) {
		id, ok := strings.CutPrefix(strings.TrimSpace(line), "data ")
		if !ok {
			continue
		}
		blob := key.Seal([]byte("not what it says it is"))
		raw, err := hex.DecodeString(id)
		if err != nil {
			n.t.Fatal(err)
		}
		header.WriteByte(0)
		_ = binary.Write(&header, binary.LittleEndian, uint32(len(blob)))
		header.Write(raw)
		entries = append(entries, entry{id, "data", file.Len(), len(blob)})
		file.Write(blob)
	}
	sealed := key.Seal(header.Bytes())
	file.Write(sealed)
	_ = binary.Write(&file, binary.LittleEndian, uint32(len(sealed)))
	sum := sha256.Sum256(file.Bytes())
	pack = hex.EncodeToString(sum[:])
	n.upload("data", file.Bytes())
	index, err := json.Marshal(map[string]any{"packs": []any{map[string]any{"id": pack, "blobs": entries}}})
	if err != nil || len(entries) == 0 {
		n.t.Fatal(len(entries), err)
	}
	n.upload("index", key.Seal(index))
	return pack
}

// TestPoisonedCopiesStopThePrune stores wrong second copies of what the repository has
// (ATK-10): a check without reading says that all is well.
func TestPoisonedCopiesStopThePrune(t *testing.T) {
	t.Parallel()
	onEachNas(t, func(t *testing.T, suite string) {
		n := newNas(t, suite, "  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n")
		for days := 5; days > 0; days-- {
			n.good(days)
		}
		n.must(spool.Succeeded, "", "retention", nil)
		n.must(spool.Succeeded, "", "prune", nil)
		n.must(spool.Succeeded, "", "inspect", nil)
		pack := n.poison()
		n.restic("check", "--no-lock")
		before := n.tree()
		outcome, facts, rows := n.must(spool.Failed, CodePruneUnverified, "prune", nil)
		if !strings.Contains(outcome.Message, pack[:8]) || !slices.ContainsFunc(rows, func(r map[string]any) bool { return r["pack_id"] == pack }) {
			t.Errorf("message %q, rows %v", outcome.Message, rows)
		}
		if facts["unexplained_bytes"].(float64) <= 0 {
			t.Errorf("facts %v: data that is not needed is not told, though nothing was forgotten", facts)
		}
		if n.tree() != before {
			t.Error("something was removed")
		}
	})
}
