package ui

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"restic-manager/server/api"
)

// daily is the offer to give a host's first schedule a time.
type daily struct {
	Action   string
	Schedule string
}

// dailyOffer is made once a manual schedule has made a good backup and nothing on the
// host runs by itself; nil otherwise.
func dailyOffer(frame hostFrame, schedules []api.Schedule) *daily {
	if !frame.User.May("operator") || frame.Host.LastGoodBackupAt.IsZero() || frame.Host.Counts.TimedSchedules > 0 {
		return nil
	}
	var only *daily
	for _, s := range schedules {
		if s.Manual && s.Enabled && !s.LastGoodAt.IsZero() {
			if only != nil {
				return nil // which one a person must say
			}
			only = &daily{Action: frame.Prefix + "/schedules/" + string(s.Id) + "/daily", Schedule: string(s.Name)}
		}
	}
	return only
}

// makeDaily gives a manual schedule its time: every day at 02:00.
func (u *UI) makeDaily(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	s, err := get[api.Schedule](v, v.schedulePath(), nil)
	if err != nil {
		return err
	}
	whole := scheduleForm(s)
	delete(whole.values, "manual")
	whole.set("cron", "0 2 * * *")
	whole.set("zone", "UTC")
	if zone := f.get("zone"); zone != "" {
		if _, err := time.LoadLocation(zone); err == nil {
			whole.set("zone", zone)
		}
	}
	spec, ok := scheduleSpec(whole, &s)
	if !ok {
		return v.showScheduleForm(http.StatusUnprocessableEntity, whole, nil, &s)
	}
	if _, err := send[api.Schedule](v, http.MethodPut, v.schedulePath()+"?"+url.Values{"if_version": {strconv.FormatInt(s.Version, 10)}}.Encode(), spec); err != nil {
		banner, err := whole.refused(err, scheduleFields...)
		if err != nil {
			return err
		}
		return v.showScheduleForm(http.StatusUnprocessableEntity, whole, banner, &s)
	}
	return v.goTo("/hosts/" + v.param("host") + "/schedules?done=schedule-daily")
}
