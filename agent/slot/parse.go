package slot

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Codes of the errors of Parse.
const (
	CodeCronRequired = "cron_required"
	CodeCronInvalid  = "cron_invalid"     // not five columns, or one of them is wrong
	CodeCronNever    = "cron_never_fires" // no such day, like 31 February
	CodeZoneRequired = "zone_required"
	CodeZoneUnknown  = "zone_unknown"
)

// Error says what is wrong with a cron text or a zone. It repeats neither.
type Error struct {
	Code    string
	Column  string // of the cron text, such as "hour"; empty if it is about none
	Message string
	Next    string // what to write instead
}

func (e *Error) Error() string { return e.Code + ": " + e.Message + "; " + e.Next }

// column is one of the five of a cron text.
type column struct {
	name   string
	option cron.ParseOption
	takes  string
}

func columns() []column {
	return []column{
		{"minute", cron.Minute, "0 to 59"},
		{"hour", cron.Hour, "0 to 23"},
		{"day of month", cron.Dom, "1 to 31"},
		{"month", cron.Month, "1 to 12, or jan to dec"},
		{"day of week", cron.Dow, "0 to 6 where Sunday is 0, or sun to sat"},
	}
}

const (
	maxCron = 256
	maxZone = 64
	example = `write five columns, minute, hour, day of month, month and day of week: "30 2 * * *" is half past two each night`
)

// Parse returns the schedule of a cron text of five columns in an IANA time zone.
// Its errors are of type *Error. The text is untrusted: what the cron library takes
// beside the five columns (zones, @every, @reboot) is refused before it sees it.
func Parse(text, zone string) (Schedule, error) {
	spec, err := parseCron(text)
	if err != nil {
		return Schedule{}, err
	}
	loc, err := Zone(zone)
	if err != nil {
		return Schedule{}, err
	}
	s := Schedule{spec: spec, zone: loc}
	if _, ok := s.nextMatch(aLeapYear()); !ok {
		return Schedule{}, &Error{CodeCronNever, "day of month", "there is no such day in these months",
			"choose a day that one of the months has"}
	}
	return s, nil
}

// aLeapYear has every day that any year has.
func aLeapYear() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func parseCron(text string) (*cron.SpecSchedule, error) {
	fields := strings.Fields(text)
	switch {
	case len(fields) == 0:
		return nil, &Error{CodeCronRequired, "", "the cron text is empty", example}
	case len(text) > maxCron:
		return nil, &Error{CodeCronInvalid, "", fmt.Sprintf("the cron text is longer than %d characters", maxCron), example}
	case strings.Contains(text, "="):
		return nil, &Error{CodeCronInvalid, "", "the cron text names a zone", "put the time zone into its own field"}
	case strings.Contains(text, "@"):
		return nil, &Error{CodeCronInvalid, "", "names that begin with @ are not understood", example}
	case len(fields) != len(columns()):
		return nil, &Error{CodeCronInvalid, "", fmt.Sprintf("the cron text has %d columns", len(fields)), example}
	}
	for i, c := range columns() {
		if !wellFormed(fields[i]) || !accepted(cron.NewParser(c.option), fields[i]) {
			return nil, &Error{CodeCronInvalid, c.name,
				fmt.Sprintf("column %d, the %s, is not understood", i+1, c.name),
				"it takes " + c.takes + `, "*", lists "1,2", ranges "1-5" and steps "*/10"`}
		}
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(strings.Join(fields, " "))
	spec, ok := parsed.(*cron.SpecSchedule)
	if err != nil || !ok {
		return nil, &Error{CodeCronInvalid, "", "the cron text is not understood", example}
	}
	spec.Location = time.UTC
	return spec, nil
}

// wellFormed refuses what the library would pass over in silence: empty entries of
// a list, and a star with a range.
func wellFormed(field string) bool {
	for entry := range strings.SplitSeq(field, ",") {
		if entry == "" || strings.HasPrefix(entry, "*-") || strings.HasPrefix(entry, "?") && entry != "?" {
			return false
		}
	}
	return true
}

func accepted(p cron.Parser, field string) bool {
	_, err := p.Parse(field)
	return err == nil
}

// Zone returns an IANA time zone. Its errors are of type *Error.
func Zone(zone string) (*time.Location, error) {
	// The library of Go takes "" for UTC and "Local" for the machine's own zone, which
	// would differ between the agent and the server.
	if zone == "" {
		return nil, &Error{CodeZoneRequired, "", "the time zone is empty", `write one such as "Europe/Berlin" or "UTC"`}
	}
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" || len(zone) > maxZone {
		return nil, &Error{CodeZoneUnknown, "", "there is no such time zone", `write one such as "Europe/Berlin" or "UTC"`}
	}
	return loc, nil
}
