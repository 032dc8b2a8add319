package restic

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Location is where a repository is: on a REST server, or a folder of the host.
// It is also a prefix of locations, in a host's policy. Only ParseLocation makes
// one, in one canonical form, so that two texts for the same place are equal; it
// refuses what could be read in two ways rather than guess. The zero Location is
// no place.
type Location struct {
	scheme   scheme
	host     string // lower case, IPv6 in brackets, with a port that is not the default
	volume   string // windows: "C:"
	segments []string
}

type scheme string

const (
	schemeHTTPS   scheme = "https"
	schemeHTTP    scheme = "http"
	schemeUnix    scheme = "unix"
	schemeWindows scheme = "windows"
)

const maxLocationLength = 2048

// ParseLocation reads rest:https://host[:port]/path, rest:http://…, an absolute
// unix path or a windows path with a drive letter, and nothing else. User names,
// passwords, queries, fragments, percent signs, dot segments, empty segments and
// control characters are refused with repo_location_invalid. It does not look at
// the disk or the network.
func ParseLocation(text string) (Location, error) {
	switch {
	case text == "":
		return Location{}, locationError("the location is empty")
	case len(text) > maxLocationLength:
		return Location{}, locationError(fmt.Sprintf("the location is longer than %d bytes", maxLocationLength))
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }):
		return Location{}, locationError("the location has a control character or a byte that is not UTF-8")
	}
	if rest, ok := strings.CutPrefix(text, "rest:"); ok {
		return parseREST(rest)
	}
	if strings.HasPrefix(text, "/") {
		return parseUnix(text)
	}
	if drivePath.MatchString(text) {
		return parseWindows(text)
	}
	return Location{}, locationError("the location is of a kind that is not supported")
}

func locationError(message string) error {
	return &Error{
		Code:    CodeRepoLocationInvalid,
		Field:   "location",
		Message: message,
		Next:    `write rest:https://host:port/path/ for a REST server, or an absolute path such as /srv/restic or D:\restic`,
	}
}

func parseREST(rest string) (Location, error) {
	var l Location
	var authority string
	if after, ok := strings.CutPrefix(rest, "https://"); ok {
		l.scheme, authority = schemeHTTPS, after
	} else if after, ok := strings.CutPrefix(rest, "http://"); ok {
		l.scheme, authority = schemeHTTP, after
	} else {
		return Location{}, locationError("after rest: there must be https:// or http://, in lower case")
	}
	if strings.ContainsAny(authority, "@") {
		return Location{}, locationError("the location has a user name or an @: credentials have their own fields")
	}
	authority, urlPath, _ := strings.Cut(authority, "/")
	var err error
	if l.host, err = canonicalHost(l.scheme, authority); err != nil {
		return Location{}, err
	}
	if l.segments, err = splitSegments(urlPath, "/", urlSegment); err != nil {
		return Location{}, err
	}
	return l, nil
}

var (
	urlSegment = regexp.MustCompile(`^[A-Za-z0-9._~!$'()*+,;=:-]+$`)
	portNumber = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
	allDigits  = regexp.MustCompile(`^(0[xX][0-9A-Fa-f]*|[0-9]+)$`)
)

// canonicalHost checks host[:port] and returns it in one form.
func canonicalHost(s scheme, authority string) (string, error) {
	host, port, hasPort := authority, "", false
	if end := strings.LastIndexByte(authority, ']'); strings.HasPrefix(authority, "[") && end > 0 {
		host = authority[:end+1]
		if rest := authority[end+1:]; rest != "" {
			if !strings.HasPrefix(rest, ":") {
				return "", locationError("the host is not valid")
			}
			port, hasPort = rest[1:], true
		}
	} else {
		host, port, hasPort = strings.Cut(authority, ":")
	}
	host, err := canonicalName(host)
	if err != nil {
		return "", err
	}
	if !hasPort {
		return host, nil
	}
	if n, err := strconv.Atoi(port); err != nil || !portNumber.MatchString(port) || n > 65535 {
		return "", locationError("the port must be a number from 1 to 65535")
	}
	if s == schemeHTTPS && port == "443" || s == schemeHTTP && port == "80" {
		return host, nil
	}
	return host + ":" + port, nil
}

// canonicalName checks a name or address without its port.
func canonicalName(host string) (string, error) {
	if inside, ok := strings.CutPrefix(host, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inside, "]"))
		if err != nil || !addr.Is6() || addr.Is4In6() || addr.Zone() != "" {
			return "", locationError("the host is not a plain IPv6 address in brackets")
		}
		return "[" + addr.String() + "]", nil
	}
	labels := strings.Split(host, ".")
	if allDigits.MatchString(labels[len(labels)-1]) {
		// What ends in a number is an address to a resolver, in forms that
		// hide which: only the plain one is taken.
		addr, err := netip.ParseAddr(host)
		if err != nil || !addr.Is4() {
			return "", locationError("the host is not a plain IPv4 address of four numbers")
		}
		return addr.String(), nil
	}
	if CheckHost(host) != nil {
		return "", locationError("the host is not a name of ASCII letters, digits and -, in parts joined by dots; write an international name in its xn-- form")
	}
	return strings.ToLower(host), nil
}

// splitSegments splits a path below its root. One separator at the end is
// dropped.
func splitSegments(below, separators string, allowed *regexp.Regexp) ([]string, error) {
	for _, separator := range separators[1:] {
		below = strings.ReplaceAll(below, string(separator), separators[:1])
	}
	below = strings.TrimSuffix(below, separators[:1])
	if below == "" {
		return nil, nil
	}
	segments := strings.Split(below, separators[:1])
	for _, segment := range segments {
		switch {
		case segment == "":
			return nil, locationError("the path has an empty part: two separators in a row")
		case segment == "." || segment == "..": //guard:location-dots
			return nil, locationError("the path has a . or .. part")
		case allowed != nil && !allowed.MatchString(segment): //guard:location-signs
			return nil, locationError("the path has a sign that is not allowed: letters, digits and . _ ~ ! $ ' ( ) * + , ; = : - are")
		}
	}
	return segments, nil
}

func parseUnix(text string) (Location, error) {
	segments, err := splitSegments(text[1:], "/", nil)
	if err != nil {
		return Location{}, err
	}
	return Location{scheme: schemeUnix, segments: segments}, nil
}

var (
	shortName   = regexp.MustCompile(`~[0-9]`)
	deviceNames = regexp.MustCompile(`(?i)^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)`)
)

func parseWindows(text string) (Location, error) {
	segments, err := splitSegments(text[3:], `\/`, nil)
	if err != nil {
		return Location{}, err
	}
	for _, segment := range segments {
		switch {
		case strings.ContainsAny(segment, `<>:"|?*`):
			return Location{}, locationError(`the path has one of the signs < > : " | ? *`)
		case strings.TrimRight(segment, ". ") != segment:
			return Location{}, locationError("a part of the path ends with a dot or a blank, which windows drops")
		case shortName.MatchString(segment):
			return Location{}, locationError("the path has a short name such as PROGRA~1; write the long one")
		case deviceNames.MatchString(segment):
			return Location{}, locationError("the path has the name of a device, such as NUL or COM1")
		}
	}
	return Location{scheme: schemeWindows, volume: strings.ToUpper(text[:2]), segments: segments}, nil
}

// IsZero reports whether this is no place.
func (l Location) IsZero() bool { return l.scheme == "" }

// String returns the canonical text, which ParseLocation and restic read.
func (l Location) String() string {
	switch l.scheme {
	case schemeHTTPS, schemeHTTP:
		text := "rest:" + string(l.scheme) + "://" + l.host + "/"
		if len(l.segments) > 0 {
			text += strings.Join(l.segments, "/") + "/"
		}
		return text
	case schemeUnix:
		return "/" + strings.Join(l.segments, "/")
	case schemeWindows:
		return l.volume + `\` + strings.Join(l.segments, `\`)
	default:
		return ""
	}
}

// REST reports whether the repository is on a REST server.
func (l Location) REST() bool { return l.scheme == schemeHTTPS || l.scheme == schemeHTTP }

// Encrypted reports whether the way there is: TLS, or no network at all.
func (l Location) Encrypted() bool { return l.scheme != schemeHTTP }

// Path is the path on the host's disk, "" for a REST server.
func (l Location) Path() string {
	if l.REST() {
		return ""
	}
	return l.String()
}

// Under reports whether l is prefix or below it: the same kind, scheme, host and
// port, and a path that begins with prefix's, part by part. Windows paths are
// compared without regard to case. Symbolic links are not followed. Nothing is
// under the zero Location.
func (l Location) Under(prefix Location) bool {
	if prefix.IsZero() || l.scheme != prefix.scheme || l.host != prefix.host || l.volume != prefix.volume { //guard:location-prefix
		return false
	}
	if len(l.segments) < len(prefix.segments) {
		return false
	}
	same := func(a, b string) bool { return a == b }
	if l.scheme == schemeWindows {
		same = strings.EqualFold
	}
	return slices.EqualFunc(l.segments[:len(prefix.segments)], prefix.segments, same)
}

// Equal reports whether both are the same place.
func (l Location) Equal(other Location) bool { return l.Under(other) && other.Under(l) }

// MarshalText returns the canonical text.
func (l Location) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText is ParseLocation; an empty text is the zero Location.
func (l *Location) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*l = Location{}
		return nil
	}
	parsed, err := ParseLocation(string(text))
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}
