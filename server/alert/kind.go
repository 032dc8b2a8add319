package alert

import (
	"slices"
	"time"

	"restic-manager/server/fleet"
)

// Codes of alerts. Those of conditions that are carried over are the conditions'.
const (
	JobFailed             = "job_failed"
	WarningsShare         = "warnings_share"
	SlotMissed            = "slot_missed"
	ObjectiveMissed       = "objective_missed"
	HostSilent            = "host_silent"
	RepositoryUnreachable = "repository_unreachable"
	RepositoryNearlyFull  = "repository_nearly_full"
	RepositoryTrouble     = "repository_trouble"
	CredentialCanDelete   = "credential_can_delete"
	SourceShrank          = "source_shrank"
	SourceMissing         = "source_missing"
	SourceEmpty           = "source_empty"
	ClockWrong            = "clock_wrong"
	AgentTooOld           = "agent_too_old"
	ResticTooOld          = "restic_too_old"
	SpoolDropping         = "spool_dropping"
	AuditBroken           = "audit_broken"
	NotificationFailing   = "notification_failing"
	HostTrouble           = "host_trouble"
	CheckFailed           = "check_failed"
	CheckOverdue          = "check_overdue"
	PruneBlocked          = "prune_blocked"
	ForeignObjects        = "foreign_objects"
	SuspectSnapshots      = "suspect_snapshots"
	KeysChanged           = "keys_changed"
	MaintenanceNotAllowed = "maintenance_not_allowed"
	MaintenanceFolder     = "maintenance_folder"
	MaintenanceFolderGone = "maintenance_folder_gone"
	ExclusiveTooLong      = "exclusive_too_long"
)

// Kind is something that raises alerts.
type Kind struct {
	Code        string
	Title       string
	Description string
	Severity    fleet.Severity
	Unit        string // of Threshold; empty: there is none
	Threshold   int64
	Delay       time.Duration // beside the two evaluations
}

// Kinds lists everything that raises alerts.
var Kinds = []Kind{
	{Code: JobFailed, Title: "Backup failed", Severity: fleet.Warn,
		Description: "The last backup of a schedule did not succeed. Critical once an objective is missed by it."},
	{Code: ObjectiveMissed, Title: "Objective missed", Severity: fleet.Critical,
		Description: "The last good backup of a schedule is older than its objective."},
	{Code: SlotMissed, Title: "Slots missed", Severity: fleet.Warn, Unit: "slots", Threshold: 1,
		Description: "So many slots of a schedule were missed since its last good backup. Hosts that come and go are left out: their objective counts."},
	{Code: HostSilent, Title: "Host silent", Severity: fleet.Warn, Unit: "minutes", Threshold: 15,
		Description: "A host was overdue for so long. Critical once an objective is missed by it. For a host that comes and goes the default is 14 days, and a rule of the fleet does not count."},
	{Code: RepositoryUnreachable, Title: "Repository unreachable", Severity: fleet.Critical,
		Description: "Backups fail because the repository's storage cannot be reached."},
	{Code: RepositoryTrouble, Title: "Repository in trouble", Severity: fleet.Critical,
		Description: "Backups fail because of their repository: gone, replaced, locked, damaged, full, its password or credential refused. The alert's code says which."},
	{Code: RepositoryNearlyFull, Title: "Repository nearly full", Severity: fleet.Warn, Unit: "percent", Threshold: 10,
		Description: "Less than this share of the storage is free, as far as a host sees it: of a repository that is a path, or at the maintenance host."},
	{Code: CheckFailed, Title: "Check found damage", Severity: fleet.Critical,
		Description: "A check found a repository damaged; until a check of the same data finds none."},
	{Code: CheckOverdue, Title: "Check overdue", Severity: fleet.Warn, Unit: "days", Threshold: 35,
		Description: "No check of a repository went well for so long, though its plan has checks."},
	{Code: PruneBlocked, Title: "Prune blocked", Severity: fleet.Warn,
		Description: "The last prune refused to go on: what it would remove could not be trusted, or not kept aside."},
	{Code: ForeignObjects, Title: "Foreign files", Severity: fleet.Warn,
		Description: "A repository's folder holds files that restic did not make or cannot read."},
	{Code: SuspectSnapshots, Title: "Suspect snapshots", Severity: fleet.Warn,
		Description: "A repository holds snapshots that claim another time than they were first seen at, or are otherwise odd in themselves. Those that no host has told of do not count."},
	{Code: KeysChanged, Title: "Keys added", Severity: fleet.Warn,
		Description: "A repository has keys that its maintenance host did not know before."},
	{Code: MaintenanceNotAllowed, Title: "Maintenance not allowed", Severity: fleet.Warn,
		Description: "The host that is to maintain a repository does not allow that in its own policy file."},
	{Code: MaintenanceFolder, Title: "Maintenance folder wrong", Severity: fleet.Warn,
		Description: "The folder in which a repository is to be maintained holds no repository or another one, or cannot be worked in. Backups go on."},
	{Code: MaintenanceFolderGone, Title: "Repository gone from its folder", Severity: fleet.Critical,
		Description: "A repository is not in the folder any more where it is maintained, which may be on a disk that is not mounted. Where hosts reach it another way, backups may go on."},
	{Code: ExclusiveTooLong, Title: "Job holds a repository", Severity: fleet.Warn,
		Description: "A job has had a repository for itself for so long that backups are not held back for it any more. For how long they are, an option of the server says."},
	{Code: CredentialCanDelete, Title: "Credential can delete", Severity: fleet.Critical,
		Description: "The credential that hosts use could delete backups, and no admin has allowed it."},
	{Code: WarningsShare, Title: "Files not read", Severity: fleet.Warn, Unit: "percent", Threshold: 1,
		Description: "At least this share of a backup's files could not be read; 0 is any."},
	{Code: SourceShrank, Title: "Source shrank", Severity: fleet.Warn, Unit: "percent", Threshold: 50,
		Description: "The last good backup has so much less files or bytes than usual for its schedule."},
	{Code: SourceMissing, Title: "Source missing", Severity: fleet.Warn,
		Description: "A path of a schedule was not there at the last backup."},
	{Code: SourceEmpty, Title: "Source empty", Severity: fleet.Warn,
		Description: "A path of a schedule was an empty folder at the last backup."},
	{Code: ClockWrong, Title: "Clock wrong", Severity: fleet.Warn, Unit: "seconds", Threshold: 60,
		Description: "A host's clock differs from the server's by more than this; schedules fire by it."},
	{Code: AgentTooOld, Title: "Agents too old", Severity: fleet.Info,
		Description: "Agents are of an older version than the server. A warning when one is refused for it."},
	{Code: ResticTooOld, Title: "restic too old", Severity: fleet.Warn,
		Description: "Hosts have a restic that is too old to be used."},
	{Code: SpoolDropping, Title: "Log lines dropped", Severity: fleet.Warn,
		Description: "An agent had no room to keep log lines until they could be sent; within the last day."},
	{Code: AuditBroken, Title: "Audit log altered", Severity: fleet.Critical,
		Description: "The chain of the audit log does not hold: entries were changed or removed."},
	{Code: NotificationFailing, Title: "Notifications failing", Severity: fleet.Warn, Unit: "minutes", Threshold: 5,
		Description: "A channel has failed for so long. Told through the other channels."},
	{Code: HostTrouble, Title: "Host in trouble", Severity: fleet.Warn,
		Description: "Something else about a host that needs a person: a locked policy file, a copied agent, a refused configuration. The alert's code says which; its severity is the condition's."},
}

// kindOf finds a kind; a code that has none of its own is of the kind that carries it.
func kindOf(code, otherwise string) *Kind {
	for _, c := range []string{code, otherwise} {
		if i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Code == c }); i >= 0 {
			return &Kinds[i]
		}
	}
	return &Kind{Code: code, Severity: fleet.Warn}
}
