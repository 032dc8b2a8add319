package job

import "restic-manager/restic"

// Sealer opens what server/secret has sealed. The binding says where a sealed text
// lies; it opens nowhere else.
type Sealer interface {
	Open(table, id, column string, version int64, sealed string) (restic.Secret, error)
}
