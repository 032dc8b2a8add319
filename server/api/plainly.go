package api

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"restic-manager/server/fleet"
)

// plainly tells a document to people who read the audit log: "a.b 3, c x", by the
// contract's names, in order, without what is empty; "none" where nothing is left.
func plainly(d fleet.Doc) string {
	var v any
	if d.Read(&v) != nil {
		return strconv.Quote(string(d))
	}
	if text := tell("", v); text != "" {
		return text
	}
	return "none"
}

func tell(name string, v any) string {
	var parts []string
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, tell(strings.TrimPrefix(name+"."+key, "."), v[key]))
		}
	case []any:
		for _, item := range v {
			text := tell("", item)
			if _, many := item.(map[string]any); many {
				text = "(" + text + ")"
			}
			parts = append(parts, text)
		}
		if len(parts) > 0 {
			return strings.TrimSpace(name + " " + strings.Join(parts, " + "))
		}
	case nil:
	case string:
		if v != "" {
			return strings.TrimSpace(name + " " + quoted(v))
		}
	default:
		if text, err := json.Marshal(v); err == nil && string(text) != "0" {
			return strings.TrimSpace(name + " " + string(text))
		}
	}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return strings.Join(parts, ", ")
}

// quoted quotes a text that could be taken for more than one word of a detail.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " ,;+()\"'\\") || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsGraphic(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// listed tells texts in a detail.
func listed(items []string) string {
	if len(items) == 0 {
		return "none"
	}
	words := make([]string, len(items))
	for i, s := range items {
		words[i] = quoted(s)
	}
	return strings.Join(words, " + ")
}
