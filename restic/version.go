package restic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Version is a restic version. Anything after the three numbers ("-dev") is
// dropped: a development build counts as the release it leads to.
type Version struct {
	Major, Minor, Patch int
}

// MinVersion is the oldest restic that is accepted.
var MinVersion = Version{0, 18, 0}

var versionPattern = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:[-+].*)?$`)

// ParseVersion reads "0.18.0".
func ParseVersion(text string) (Version, error) {
	m := versionPattern.FindStringSubmatch(text)
	if m == nil {
		return Version{}, &Error{Code: CodeResticFailed, Message: "the program does not say which version of restic it is"}
	}
	var v Version
	for i, part := range []*int{&v.Major, &v.Minor, &v.Patch} {
		*part, _ = strconv.Atoi(m[i+1]) // four digits at most
	}
	return v, nil
}

// String returns "0.18.0".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Less reports whether v is older than other.
func (v Version) Less(other Version) bool {
	if v.Major != other.Major {
		return v.Major < other.Major
	}
	if v.Minor != other.Minor {
		return v.Minor < other.Minor
	}
	return v.Patch < other.Patch
}

// Feature is something that only some accepted versions of restic do.
type Feature int

// The features.
const (
	// FeatureStuckRequestTimeout: the option --stuck-request-timeout.
	FeatureStuckRequestTimeout Feature = iota
	// FeatureExitError: the last line on stderr is a JSON exit_error.
	FeatureExitError
	// FeatureMissingSourceExit3: a backup one of whose sources is missing ends
	// with 3; before, with 0.
	FeatureMissingSourceExit3
)

// features is the first version that does each. New entries come from the
// recorded runs in restictest, not from reading release notes alone.
var features = map[Feature]Version{
	FeatureStuckRequestTimeout: {0, 17, 0},
	FeatureExitError:           {0, 18, 0},
	FeatureMissingSourceExit3:  {0, 19, 0},
}

// Has reports whether this version does f.
func (v Version) Has(f Feature) bool {
	since, ok := features[f]
	return ok && !v.Less(since)
}

// checkVersion refuses a restic that is too old.
func checkVersion(v Version) error {
	if v.Less(MinVersion) { //guard:restic-version
		return &Error{
			Code:    CodeResticTooOld,
			Message: fmt.Sprintf("%s < %s", v, MinVersion),
			Next:    "install restic " + MinVersion.String() + " or newer on this host, or set the path of a newer one in the agent's configuration",
		}
	}
	return nil
}

// GetVersion asks the program for its version. It needs no repository; [Runner]
// runs it by itself before anything else.
type GetVersion struct{}

var _ Op[Version] = GetVersion{}

// Name returns "version".
func (GetVersion) Name() string { return "version" }

// Validate returns nil.
func (GetVersion) Validate() error { return nil }

func (GetVersion) plan(Version) plan {
	return plan{verb: []string{"version"}, document: true, noRepository: true, deadline: 30 * time.Second}
}

var versionText = regexp.MustCompile(`(?m)^restic (\S+) compiled`)

// decode reads the JSON of 0.17 and newer, or the text of those before, so that
// an old restic is refused by its version and not for its manners.
func (GetVersion) decode(out *output) (Version, error) {
	var said struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(out.document, &said); err == nil && said.Version != "" {
		return ParseVersion(said.Version)
	}
	if m := versionText.FindSubmatch(bytes.Join([][]byte{out.document, []byte(out.text())}, []byte("\n"))); m != nil {
		return ParseVersion(string(m[1]))
	}
	return ParseVersion("")
}
