package auth

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"restic-manager/server/fleet"
)

// Rule says who may call a route.
type Rule string

// The rules. Those of people are the names of roles; each includes the ones below
// it.
const (
	Public   Rule = "public"   // anybody
	Viewer   Rule = "viewer"   // whoever is signed in
	Operator Rule = "operator" //
	Admin    Rule = "admin"    //
	Agent    Rule = "agent"    // an enrolled agent with its secret
	Token    Rule = "token"    // whoever brings a one-time token in the body
)

// Role is the role that the rule asks for; empty when it is not about people.
func (r Rule) Role() fleet.Role {
	switch r {
	case Viewer, Operator, Admin:
		return fleet.Role(r)
	}
	return ""
}

func (r Rule) known() bool {
	return slices.Contains([]Rule{Public, Viewer, Operator, Admin, Agent, Token}, r)
}

// Operations gives every operation of the contract its rule. It is the only place
// that does; a new operation is a line here.
func Operations() map[string]Rule {
	return map[string]Rule{
		"readSetup":      Public,
		"completeSetup":  Public,
		"signIn":         Public,
		"signOut":        Viewer,
		"readMe":         Viewer,
		"changePassword": Viewer,

		"listUsers":  Admin,
		"createUser": Admin,
		"updateUser": Admin,
		"deleteUser": Admin,

		"listHosts":            Viewer,
		"createHost":           Admin,
		"readHost":             Viewer,
		"updateHost":           Admin,
		"deleteHost":           Admin,
		"listEnrolmentTokens":  Admin,
		"createEnrolmentToken": Admin,
		"revokeEnrolmentToken": Admin,

		"listSchedules":   Viewer,
		"createSchedule":  Operator,
		"readSchedule":    Viewer,
		"replaceSchedule": Operator,
		"deleteSchedule":  Operator,
		"runSchedule":     Operator,
		"previewCron":     Viewer,
		"listHistory":     Viewer,

		"listAlerts":        Viewer,
		"readAlert":         Viewer,
		"acknowledgeAlert":  Operator,
		"silenceAlert":      Operator,
		"resolveAlert":      Operator,
		"readAlertRules":    Viewer,
		"replaceAlertRules": Admin,

		"listChannelKinds": Viewer,
		"listChannels":     Viewer,
		"createChannel":    Admin,
		"readChannel":      Viewer,
		"replaceChannel":   Admin,
		"deleteChannel":    Admin,
		"testChannel":      Operator,
		"listDeliveries":   Viewer,

		"listPrograms":    Viewer,
		"downloadProgram": Public,

		"listRepositories":       Viewer,
		"createRepository":       Admin,
		"readRepository":         Viewer,
		"updateRepository":       Admin,
		"deleteRepository":       Admin,
		"setAppendCredential":    Admin,
		"showRecoverySheet":      Admin,
		"markRecoverySheetSaved": Admin,

		"setMaintenanceCredential":    Admin,
		"deleteMaintenanceCredential": Admin,
		"setSecondPassword":           Admin,
		"deleteSecondPassword":        Admin,
		"useSecondPassword":           Admin,
		"setMaintenanceHost":          Admin,
		"replaceMaintenancePlan":      Operator,
		"listLocks":                   Viewer,
		"listRepositorySizes":         Viewer,
		"createRepositoryJob":         Operator,

		"createJob":      Operator,
		"listJobs":       Viewer,
		"readJob":        Viewer,
		"cancelJob":      Operator,
		"listJobEvents":  Viewer,
		"readJobLog":     Viewer,
		"downloadJobLog": Viewer,
		"listJobRows":    Viewer,

		"listSnapshots":       Viewer,
		"readSnapshot":        Viewer,
		"indexSnapshot":       Viewer,
		"listSnapshotEntries": Viewer,
		"searchSnapshot":      Viewer,

		"listOperations": Viewer,
		"readOverview":   Viewer,
		"listChanges":    Viewer,
		"listAudit":      Admin,

		"enrol":            Token,
		"openSession":      Agent,
		"closeSession":     Agent,
		"sync":             Agent,
		"report":           Agent,
		"fetchSecrets":     Agent,
		"rotateCredential": Agent,
		"putArtifact":      Agent,
	}
}

// Policy is the rules of a router's routes by method and pattern: "GET /hosts/{id}".
type Policy map[string]Rule

// Of gives the rule of a route. Without one there is no way in.
func (p Policy) Of(method, pattern string) (Rule, bool) {
	rule, ok := p[method+" "+pattern]
	return rule, ok && rule.known()
}

// Check walks a router and names every route that has no rule. A server must not
// start with one.
func (p Policy) Check(routes chi.Routes) error {
	var bare []string
	err := chi.Walk(routes, func(method, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if _, ok := p.Of(method, pattern); !ok {
			bare = append(bare, method+" "+pattern)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("walk routes: %w", err)
	}
	if len(bare) > 0 { //guard:route-rule
		slices.Sort(bare)
		return fmt.Errorf("route_without_policy: %s", strings.Join(bare, ", "))
	}
	return nil
}
