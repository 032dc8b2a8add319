package restic

import (
	"encoding/json"
	"testing"
)

// FuzzNode compares what is read by hand with what the library reads.
func FuzzNode(f *testing.F) {
	for _, line := range []string{
		`{"name":"a","type":"file","path":"/a","uid":0,"size":12,"mode":420,"mtime":"2026-11-22T02:49:22.06335987+01:00","struct_type":"node"}`,
		`{"path":"/new\nline\ud83d\ude00\"","type":"dir","mode":2147484141,"mtime":"2026-11-22T02:49:22Z","struct_type":"node"}`,
		`{"path":"/\ufffd","type":"symlink","mode":134218239,"struct_type":"node","size":-1}`,
		`{"path":"/a","struct_type":"node","extra":{"path":"/b"}}`,
		`{"path":"/a","struct_type":"node","content":null,"links":[1,2],"ok":true}`,
		`{"path":"/a","path":"/b","struct_type":"node"}`,
		`{"struct_type":"snapshot","path":"/a"}`,
		`{"path":"relative","struct_type":"node"}`, `{"path":"/a","size":1e3,"struct_type":"node"}`, `{"path":"/a","mode":-1,"struct_type":"node"}`,
		`{`, `{}`, `{"path":"/a","struct_type":"node"} `, `{"path":"/a\`, `{"path":12,"struct_type":"node"}`, `{"PATH":"/a","struct_type":"node"}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		byHand, taken := scanNode(line)
		if !taken {
			return // the library has the last word
		}
		var m struct {
			Node
			StructType string `json:"struct_type"`
		}
		if err := json.Unmarshal(line, &m); err != nil {
			return // by hand it is less strict: what restic writes is sound
		}
		if !byHand.ModTime.Equal(m.ModTime) {
			t.Errorf("time %v, want %v", byHand.ModTime, m.ModTime)
		}
		byHand.ModTime = m.ModTime
		if byHand != m.Node || m.StructType != "node" {
			t.Errorf("by hand %+v, want %+v", byHand, m)
		}
	})
}
