package policy

import (
	"hash/fnv"
	"path/filepath"
	"strings"
)

// device returns the volume of a path; where a volume is mounted in a folder of another,
// that is not seen.
func device(path string) (uint64, bool) {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(strings.ToUpper(filepath.VolumeName(path)))) // never fails
	return sum.Sum64(), true
}
