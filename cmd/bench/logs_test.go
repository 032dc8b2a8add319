//go:build linux

package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// chunkLines is how many lines an agent cuts a chunk at.
const chunkLines = 200

// logs are chunks as an agent's spool makes them.
type logs struct {
	chunks []chunk
	stream float64 // bytes of all of them as one stream
}

type chunk struct {
	data  []byte
	bytes int64 // before compression
}

// distinctChunks are made; logs of jobs repeat them.
const distinctChunks = 1000

func newLogs(b *testing.B) *logs {
	b.Helper()
	// The encoder of agent/spool.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		b.Fatal(err)
	}
	l := &logs{}
	var all []byte
	random := rand.New(rand.NewPCG(1, 2))
	at := int64(1_760_000_000_000_000)
	for range distinctChunks {
		var text bytes.Buffer
		for range chunkLines {
			at += random.Int64N(20_000)
			writeLine(&text, random, at)
		}
		l.chunks = append(l.chunks, chunk{encoder.EncodeAll(text.Bytes(), nil), int64(text.Len())})
		all = append(all, text.Bytes()...)
	}
	l.stream = float64(len(encoder.EncodeAll(all, nil)))
	return l
}

// writeLine writes a line of the kind that a log has most of: a path with a name
// that was not seen before, a size and a time.
func writeLine(w *bytes.Buffer, random *rand.Rand, at int64) {
	text := fmt.Sprintf("new       /srv/projects/module-%d/src/%08x/file-%d.go, saved in 0.%03ds (%d.%03d KiB added)",
		random.IntN(40), random.Uint32(), random.IntN(1000), random.IntN(1000), random.IntN(900), random.IntN(1000))
	_ = json.NewEncoder(w).Encode(struct {
		T int64  `json:"t"`
		S string `json:"s"`
		M string `json:"m"`
	}{at, "o", text}) // into memory
}
