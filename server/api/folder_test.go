package api_test

import (
	"net/http"
	"strings"
	"testing"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// TestTroubleWithAFolderEndsWithTheFolder and not when the same one is named again.
func TestTroubleWithAFolderEndsWithTheFolder(t *testing.T) {
	w, admin, _, h := newAttending(t)
	repository := get[api.RepositoryPage](admin, "/api/v1/repositories").Repositories[0]
	path := "/api/v1/repositories/" + repository.Id + "/maintenance-host"
	name := func(folder string) (codes []string) {
		for _, c := range into[api.Repository](admin.must(http.StatusOK, "PUT", path, obj{"host_id": h.Host.Id, "location": folder})).Conditions {
			if strings.HasPrefix(c.Code, job.CodeMaintenanceFolder) {
				codes = append(codes, c.Code)
			}
		}
		return codes
	}
	name("/srv/wrong")
	err := w.store.Write(t.Context(), func(tx *store.Tx) error {
		for _, code := range []string{job.CodeMaintenanceFolder, job.CodeMaintenanceFolderGone} {
			_, err := tx.RaiseCondition(t.Context(), fleet.Condition{
				ObjectType: store.ObjectRepository, ObjectID: string(repository.Id), Code: code, Severity: fleet.Warn, Message: "It is not there.",
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := name("/srv/wrong"); len(got) != 2 {
		t.Errorf("the same folder named again: %v", got)
	}
	if got := name("/srv/right"); len(got) != 0 {
		t.Errorf("another folder: %v", got)
	}
}
