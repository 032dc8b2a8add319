package restic

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"strconv"
	"time"
	"unicode/utf8"
)

// Node is a file, folder or other thing in a snapshot.
type Node struct {
	Path    string      `json:"path"` // bytes that are not UTF-8 appear as U+FFFD
	Type    string      `json:"type"` // file, dir, symlink, fifo, socket, dev, chardev, irregular
	Size    int64       `json:"size"` // of files
	Mode    fs.FileMode `json:"mode"`
	ModTime time.Time   `json:"mtime"`
}

// decodeNode reads a line of restic ls. There may be millions, so what restic writes is
// read by hand, and anything else by the library.
func decodeNode(line []byte) (Node, bool) {
	if n, ok := scanNode(line); ok {
		return n, true
	}
	var m struct {
		Node
		StructType string `json:"struct_type"`
	}
	if json.Unmarshal(line, &m) != nil || m.StructType != "node" || m.Path == "" || m.Path[0] != '/' {
		return Node{}, false
	}
	return m.Node, true
}

// scanNode reads an object of texts and whole numbers.
func scanNode(line []byte) (n Node, ok bool) {
	isNode := false
	rest, found := bytes.CutPrefix(line, []byte{'{'})
	for found {
		var key, value []byte
		var text bool
		if key, rest, found = scanText(rest); !found || len(rest) == 0 || rest[0] != ':' {
			return n, false
		}
		if value, rest, text, found = scanValue(rest[1:]); !found || !n.set(string(key), value, text, &isNode) || len(rest) == 0 {
			return n, false
		}
		switch end := rest[0]; {
		case end == '}':
			return n, len(rest) == 1 && isNode && n.Path != "" && n.Path[0] == '/'
		case end != ',':
			return n, false
		}
		rest = rest[1:]
	}
	return n, false
}

// set takes a member; false if it is not of the expected form.
func (n *Node) set(key string, value []byte, text bool, isNode *bool) bool {
	var err error
	switch key {
	case "path":
		n.Path = string(value)
		return text && utf8.Valid(value)
	case "type":
		n.Type = nodeType(value)
		return text
	case "struct_type":
		*isNode = string(value) == "node"
		return text
	case "mtime":
		err = n.ModTime.UnmarshalText(value)
		return text && err == nil
	case "size":
		n.Size, err = strconv.ParseInt(string(value), 10, 64)
	case "mode":
		var mode uint64
		mode, err = strconv.ParseUint(string(value), 10, 32)
		n.Mode = fs.FileMode(mode)
	}
	return err == nil
}

// nodeType saves the memory of the usual ones.
func nodeType(value []byte) string {
	for _, usual := range []string{"file", "dir", "symlink"} {
		if string(value) == usual {
			return usual
		}
	}
	return string(value)
}

// scanText takes a text in quotes, with its escapes resolved.
func scanText(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	end := bytes.IndexByte(b[1:], '"') + 1
	if end > 0 && bytes.IndexByte(b[1:end], '\\') < 0 {
		return b[1:end], b[end+1:], true
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			var s string
			if json.Unmarshal(b[:i+1], &s) != nil {
				return nil, nil, false
			}
			return []byte(s), b[i+1:], true
		}
	}
	return nil, nil, false
}

// scanValue takes a text or a plain number.
func scanValue(b []byte) (value, rest []byte, text, ok bool) {
	if len(b) > 0 && b[0] == '"' {
		value, rest, ok = scanText(b)
		return value, rest, true, ok
	}
	end := 0
	for end < len(b) && (b[end] >= '0' && b[end] <= '9' || b[end] == '-') {
		end++
	}
	if end == 0 || end == len(b) || b[end] != ',' && b[end] != '}' {
		return nil, nil, false, false
	}
	return b[:end], b[end:], false, true
}
