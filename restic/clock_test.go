package restic

import "time"

func fixedNow() time.Time { return time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC) }
