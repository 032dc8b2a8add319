package ui

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/api"
)

func TestATimeSpanIsReadAsItIsTold(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "0": 0, "90 s": 90, "15min": 900, "1 h 30 min": 5400, "2 days": 172800, "1\u00a0d 2\u00a0h": 93600, "1 w": 604800} {
		n, ok := seconds(text)
		if !ok || n != want {
			t.Errorf("%q is read as %d, %t, want %d", text, n, ok, want)
		}
		if again, ok := seconds(span(n)); !ok || again != n {
			t.Errorf("%d is told as %q, which is read as %d, %t", n, span(n), again, ok)
		}
	}
	for _, text := range []string{"5", "-5 min", "1.5 h", "five minutes", "1 h x", "9999999999 h", "999999999 w 999999999 w"} {
		if n, ok := seconds(text); ok {
			t.Errorf("%q was read as %d", text, n)
		}
	}
}

func TestHoursOfTheDayAreReadAsTheyAreTold(t *testing.T) {
	for text, want := range map[string]api.Window{
		"22:00-06:00":           {From: "22:00", To: "06:00"},
		"mon-fri 8:00 - 24:00":  {Days: []api.Weekday{"mon", "tue", "wed", "thu", "fri"}, From: "08:00", To: "00:00"},
		"sat,sun 00:00–23:59":   {Days: []api.Weekday{"sat", "sun"}, From: "00:00", To: "23:59"},
		"Fri-Mon 20:00 to 6:30": {Days: []api.Weekday{"fri", "sat", "sun", "mon"}, From: "20:00", To: "06:30"},
	} {
		list, wrong := windows([]string{text})
		if wrong != "" || !cmp.Equal(list, []api.Window{want}) {
			t.Errorf("%q is read as %+v, %q", text, list, wrong)
			continue
		}
		again, wrong := windows([]string{windowLines(list)})
		if wrong != "" || len(again) != 1 || len(again[0].Days) != len(want.Days) || again[0].From != want.From {
			t.Errorf("it is told as %q, which is read as %+v, %q", windowLines(list), again, wrong)
		}
	}
	for _, text := range []string{"22:00", "25:00-06:00", "22:60-06:00", "24:30-06:00", "foo 22:00-06:00", "mon-xyz 22:00-06:00", "22:00-06:00 upload"} {
		if list, wrong := windows([]string{"22:00-06:00", text}); !strings.HasPrefix(wrong, "Line 2") {
			t.Errorf("%q was read as %+v, %q", text, list, wrong)
		}
	}
}

func TestABandwidthIsReadAsItIsTold(t *testing.T) {
	for text, want := range map[string]api.BandwidthRule{
		"08:00-18:00 1 MiB/s":                               {From: "08:00", To: "18:00", UploadKibS: 1024},
		"mon 08:00-18:00 upload 512 KiB/s download 2 MiB/s": {Days: []api.Weekday{"mon"}, From: "08:00", To: "18:00", UploadKibS: 512, DownloadKibS: 2048},
		"08:00-18:00 down 1.5m, up 100k":                    {From: "08:00", To: "18:00", UploadKibS: 100, DownloadKibS: 1536},
	} {
		list, wrong := bandwidth([]string{text})
		if wrong != "" || !cmp.Equal(list, []api.BandwidthRule{want}) {
			t.Errorf("%q is read as %+v, %q", text, list, wrong)
			continue
		}
		if again, wrong := bandwidth([]string{bandwidthLines(list)}); wrong != "" || !cmp.Equal(again, list) {
			t.Errorf("it is told as %q, which is read as %+v, %q", bandwidthLines(list), again, wrong)
		}
	}
	for _, text := range []string{"08:00-18:00", "08:00-18:00 fast", "08:00-18:00 0 KiB/s", "08:00-18:00 99999999 GiB/s", "upload 1 MiB/s"} {
		if list, wrong := bandwidth([]string{text}); wrong == "" {
			t.Errorf("%q was read as %+v", text, list)
		}
	}
}

func TestASizeIsReadAsItIsTold(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "0": 0, "2 GiB": 2 << 30, "1.5 gib": 3 << 29, "512M": 512 << 20, "1048577": 1<<20 + 1, "7\u00a0B": 7, "3 T": 3 << 40} {
		n, ok := byteSize(text)
		if !ok || n != want {
			t.Errorf("%q is read as %d, %t, want %d", text, n, ok, want)
		}
		if again, ok := byteSize(byteText(n)); !ok || again != n {
			t.Errorf("%d is told as %q, which is read as %d, %t", n, byteText(n), again, ok)
		}
	}
	for _, text := range []string{"big", "-1 GiB", "2 GB/s", "1e9", "999999999999999 TiB", "2 PiB"} {
		if n, ok := byteSize(text); ok {
			t.Errorf("%q was read as %d", text, n)
		}
	}
}
