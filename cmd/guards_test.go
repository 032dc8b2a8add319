package cmd_test

import (
	"os"
	"testing"
)

// guards lists what keeps a hostile or mistaken request out, each with a test that
// must fail when the guard is taken away. A guard is marked by a comment at the end
// of its line. It is an if, or a case of a switch without a tag; or a statement that
// is a call or an assignment; or a field of a literal:
//
//	if !allowed { //guard:policy-repository
//	header.Set("X-Frame-Options", "DENY") //guard:frames
//	HttpOnly: true, //guard:cookie-script
//
// To add one, mark it and add a line here. A mark that is not listed fails the test.
var guards = []twin{
	{"custody-owner", "agent/custody", "TestOnlyRootAndTheOwnUserMayOwn"},
	{"custody-mode", "agent/custody", "TestAFileThatOthersCanChangeIsRefusedWithTheCommandThatMendsIt"},
	{"custody-mode", "agent/custody", "TestAFolderAboveThatOthersCanChangeIsRefused"},
	{"custody-mode", "agent/policy", "TestAFileThatOthersCouldHaveChangedLocksTheAgent"},
	{"custody-mode", "agent/secret", "TestWhatCannotBeReadIsNeverOverwritten"},
	{"custody-link", "agent/custody", "TestALinkIsRefusedWhereverItLies"},
	{"program-digest", "server/program", "TestAProgramThatHasChangedIsNotHandedOutAndSaysSo"},
	{"add-digest", "server/program", "TestWhatIsNoUsableResticIsNotAdded"},
	{"install-digest", "agent", "TestAProgramOfAnotherDigestIsNotPutInPlace"},
	{"uninstall-own", "agent", "TestUninstallLeavesAFolderThatIsNotTheAgents"},
	{"uninstall-folder", "agent", "TestUninstallLeavesAFolderThatIsNotTheAgents"},
	{"policy-missing", "agent/policy", "TestWithoutAFileTheAgentIsLocked"},
	{"policy-valid", "agent/policy", "TestWhatIsNotUnderstoodLocksTheAgent"},
	{"policy-repository", "agent/policy", "TestARepositoryOutsideTheAllowedLocationsIsRefused"},
	{"policy-source", "agent/policy", "TestSourcesOutsideTheAllowedFoldersAreRefused"},
	{"policy-own-folder", "agent/policy", "TestSourcesOutsideTheAllowedFoldersAreRefused"},
	{"policy-deletes", "agent/policy", "TestOperationsThatDeleteRunOnlyAtTheMaintenanceHost"},
	{"policy-required", "agent/policy", "TestARequiredFolderIsNeitherForgottenNorExcluded"},
	{"policy-excludes", "agent/policy", "TestTheNumberOfExcludesIsLimited"},
	{"sealed-check", "server/secret", "TestACheckValueThatIsNoneIsRefused"},
	{"alert-quiet", "server/alert", "TestNothingIsJudgedRightAfterTheClockJumped"},
	{"alert-outage", "server/alert", "TestNothingIsJudgedRightAfterAnOutage"},
	{"alert-round", "server/alert", "TestTwoReplicasRaiseOneAlertAndTellOnce"},
	{"alert-codes", "server/alert", "TestCodesThatAreNotKnownAreOneAlertOfTheirHost"},
	{"alert-flaps", "server/alert", "TestAnAgentThatInventsTroubleTellsItAFewTimesAnHour"},
	{"alert-severity", "server/alert", "TestAnAgentThatInventsTroubleTellsItAFewTimesAnHour"},
	{"alert-twice", "server/alert", "TestWhatFlapsIsNotTold"},
	{"notify-destination", "server/notify", "TestDestinationsThatAreNeverTold"},
	{"notify-destination", "server/notify", "TestANameThatLeadsToThisMachineIsRefusedWhenItIsDialled"},
	{"notify-redirect", "server/notify", "TestRedirectsAreNotFollowedAndAnswersNotShown"},
	{"notify-scheme", "server/notify", "TestMistakesInAChannelAreNamedByTheirField"},
	{"notify-control", "server/notify", "TestMistakesInAChannelAreNamedByTheirField"},
	{"notify-mail-password", "server/notify", "TestMistakesInAChannelAreNamedByTheirField"},
	{"notify-header", "server/notify", "TestMailGoesToEveryRecipientEncryptedAndSignedIn"},
	{"notify-redact", "server/notify", "TestErrorsHoldNoSecrets"},
	{"notify-signature", "server/notify", "TestAWebhookCarriesASignatureThatTheLibraryVerifies"},
	{"notify-talk", "server/notify", "TestAMailServerThatSaysTooMuchIsLeft"},
	{"notify-moved", "server/notify", "TestASecretDoesNotFollowItsChannelToAnotherServer"},
	{"notify-lease", "server/notify", "TestAMessageThatIsBeingSentIsNotSentByAnother"},
	{"metrics-token", "server", "TestMetricsWantTheirToken"},
	{"people-role", "server/api", "TestEveryOperationAsksForItsRole"},
	{"operation-rule", "server/api", "TestAnOperationWithoutARuleDoesNotStart"},
	{"route-rule", "server/auth", "TestARouteWithoutARuleIsNamed"},
	{"sign-in-ended", "server/api", "TestSignInsEnd"},
	{"parked-sign-in", "server/api", "TestASignInThatEndsMeanwhileGetsNoAnswer"},
	{"throttle", "server/api", "TestGuessesAreThrottledAndNobodyElseIsKeptOut"},
	{"report-closed", "server/job", "TestAReportOfAJobThatWasRemovedIsClosed"},
	{"enrol-throttle", "server/auth", "TestEnrolmentIsThrottledByAddress"},
	{"failures-listed", "server/auth", "TestAWrongPasswordIsInTheAuditLogAndAFloodIsNot"},
	{"throttle-flood", "server/auth", "TestAFloodOfGuessesGetsNoMoreOfThemThrough"},
	{"trusted-proxy", "server/auth", "TestTheClientIsWhoTrustedProxiesSay"},
	{"password-cost", "server/auth", "TestTheLeastCostIsKept"},
	{"setup-closed", "server/api", "TestTheSetupNeverOpensAgain"},
	{"setup-code", "server/api", "TestTheSetupCodeIsThrottled"},
	{"json-only", "server/api", "TestRequestsOfOtherSitesAreRefused"},
	{"body-limit", "server/api", "TestBodiesHaveLimits"},
	{"json-depth", "server/api", "TestBodiesHaveLimits"},
	{"json-twice", "server/api", "TestBodiesHaveLimits"},
	{"json-nul", "server/api", "TestBodiesHaveLimits"},
	{"unknown-parameter", "server/api", "TestEveryListHasItsPages"},
	{"sheet-reauth", "server/api", "TestSecretsAreOnlyInTheRecoverySheet"},
	{"location-quote", "server/api", "TestHostsAreCheckedAsAWhole"},
	{"host-busy", "server/api", "TestAHostWithARunningJobStays"},
	{"public-url-https", "server", "TestOptionsAreUnderstoodOrNamed"},
	{"agent-bearer", "server/api", "TestOnlyTheSecretSaysWhichAgentItIs"},
	{"agent-session", "server/job", "TestASessionEndsWhenAnotherBeginsOrItIsClosed"},
	{"sync-parked", "server/api", "TestAnAgentParksOnlySoManyRequests"},
	{"session-superseded", "server/job", "TestAReportOfASupersededSessionIsRefused"},
	{"agent-job", "server/job", "TestAReportOfAnotherHostsJobIsRefused"},
	{"agent-artifact", "server/job", "TestPartsOfAnotherHostsJobAreRefused"},
	{"agent-secret", "server/job", "TestAnAgentGetsOnlyItsOwnSecrets"},
	{"agent-opened", "server/job", "TestAnAgentCannotPutAJobToWhatIsNotItsHosts"},
	{"report-epoch", "server/job", "TestAnOldEpochIsFenced"},
	{"log-chunk", "server/job", "TestAChunkThatIsNotWhatItSaysBecomesOneLine"},
	{"init-claim", "server/job", "TestAClaimThatWasDecidedTooEarlyIsGivenUp"},
	{"command-seq", "agent/spool", "TestReplayedAndReorderedCommandsAreTakenOnce"},
	{"command-id", "agent/spool", "TestReplayedAndReorderedCommandsAreTakenOnce"},
	{"command-job", "agent/spool", "TestAJobThatWasForgottenIsNotRunAgain"},
	{"command-form", "agent/spool", "TestCommandsAgainstTheContractLeaveNothingBehind"},
	{"command-maxseq", "agent/spool", "TestNumbersNoServerCountsToAreNotAcknowledged"},
	{"command-room", "agent/spool", "TestNoMoreCommandsAreTakenThanMayWait"},
	{"command-params", "agent/spool", "TestParamsAreBounded"},
	{"slot-forgotten", "agent/spool", "TestASlotBeforeAllMemoryGetsNoJob"},
	{"config-cron", "agent", "TestARefusedConfigurationKeepsTheOldTimes"},
	{"config-schedules", "agent", "TestARefusedConfigurationKeepsTheOldTimes"},
	{"manual-fires", "agent", "TestManualSchedulesFireNeitherAtTheirTimesNorAtAStart"},
	{"slot-skipped", "agent/schedule", "TestASlotIsSkippedWhileTheRunBeforeIt"},
	{"claim-unheard", "agent/schedule", "TestClaimsStopBeforeWhatTheServerHasNotHeardOf"},
	{"verdict-number", "agent/spool", "TestVerdictsOfAHostileServerDoNoLastingHarm"},
	{"verdict-fill", "agent/spool", "TestAStreamThatWasSentFarAheadComesBackAtOnce"},
	{"runner-locked", "agent/runner", "TestRefusedJobs"},
	{"runner-operation", "agent/runner", "TestRefusedJobs"},
	{"runner-params", "agent/runner", "TestRefusedJobs"},
	{"runner-schedule", "agent/runner", "TestRefusedJobs"},
	{"runner-repository", "agent/runner", "TestRefusedJobs"},
	{"permit-operation", "agent/runner", "TestRefusedJobs"},
	{"permit-repository", "agent/runner", "TestRefusedJobs"},
	{"permit-sources", "agent/runner", "TestRefusedJobs"},
	{"permit-excludes", "agent/runner", "TestDeniedFoldersAreLeftOutOfWhatContainsThem"},
	{"repository-pin", "agent/runner", "TestAnotherRepositoryAtTheLocationIsRefused"},
	{"init-once", "agent/runner", "TestRefusedJobs"},
	{"jobs-at-once", "agent/runner", "TestOnlySoManyJobsRunAtATime"},
	{"credential-deletes", "agent/runner", "TestACredentialThatCouldDeleteIsNotUsed"},
	{"snapshot-seen", "agent/runner", "TestASnapshotThatIsNotListedIsAFailure"},
	{"listing-offset", "agent/runner", "TestAListingIsNotLedAstray"},
	{"server-encrypted", "agent/control", "TestOptionsThatCannotBeAreExplainedWithoutSecrets"},
	{"config-encrypted", "agent", "TestOneErrorListsEveryMistakeAndNoValue"},
	{"server-pin", "agent/control", "TestServersAreTrustedByCAOrPin"},
	{"server-redirect", "agent/control", "TestARedirectLeadsNowhere"},
	{"storage-redirect", "agent", "TestAStorageThatRedirectsLeadsNowhere"},
	{"state-private", "agent/spool", "TestTheStateIsNobodyElsesToRead"},
	{"answer-marker", "agent/control", "TestOnlyTheServersWordIsBelieved"},
	{"problem-marker", "agent/control", "TestOnlyTheServersWordIsBelieved"},
	{"restic-environment", "restic", "TestTheEnvironmentStartsEmptyAndNoSecretIsAnArgument"},
	{"restic-dashes", "restic", "TestEveryReadingOpRunsWithoutLock"},
	{"restic-credential", "restic", "TestInvalidAccessIsRefusedBeforeAnythingStarts"},
	{"restic-key-hint", "restic", "TestInvalidAccessIsRefusedBeforeAnythingStarts"},
	{"restic-tag-signs", "restic", "TestTags"},
	{"restic-exclude-lines", "restic", "TestExcludes"},
	{"restic-source-nul", "restic", "TestSources"},
	{"script-name", "agent/policy", "TestAHookIsNamedAndNeverAPath"},
	{"script-listed", "agent/policy", "TestAHookThatThePolicyDoesNotListIsRefused"},
	{"script-folder", "agent/policy", "TestHooksInAFolderThatOthersCanChangeAreRefused"},
	{"script-file", "agent/policy", "TestAHookThatOthersCouldHaveChangedIsRefused"},
	{"orphan-mark", "restic", "TestWhatADeadScriptLeftIsKilledIfItIsOfTheSameRun"},
	{"permit-source", "agent/runner", "TestScriptsThatTheHostDoesNotAllowRejectTheJob"},
	{"permit-hook", "agent/runner", "TestScriptsThatTheHostDoesNotAllowRejectTheJob"},
	{"hook-allowed", "agent/runner", "TestAHookThatIsTakenAwayMeanwhileIsNotRun"},
	{"recovered-empty", "agent/runner", "TestANamedSourceIsBackedUpAndItsFailureIsOne"},
	{"script-recorded", "restic", "TestAScriptThatIsNotRecordedDoesNotRun"},
	{"script-swapped", "restic", "TestAScriptThatWasSwappedIsNotRun"},
	{"script-flood", "restic", "TestAHookThatFloodsIsCutInTheMiddle"},
	{"source-empty", "restic/restictest", "TestANamedSourceThatWritesNothingHasFailed"},
	{"source-words", "restic/restictest", "TestANamedSourceIsAFileOfItsOwnName"},
	{"redaction", "restic", "TestSecretsAreRedactedInEverythingThatLeaves"},
	{"host-sealed-binding", "agent/secret", "TestTamperingIsFoundOut"},
	{"spool-job-budget", "agent/spool", "TestBudgetDropsTheOldestLogAndCountsIt"},
	{"spool-budget", "agent/spool", "TestBudgetDropsTheOldestLogAndCountsIt"},
	{"spool-tight-disk", "agent/spool", "TestSpoolDoesNotGrowOnATightDisk"},
	{"repository-seen", "server/job", "TestAFailureThatSawTheRepositoryDisprovesWhatItSaw"},
	{"repository-seen-id", "server/job", "TestAFailureThatSawTheRepositoryDisprovesWhatItSaw"},
	{"agent-births", "server/job", "TestJobsOfNoSlotAreTakenUpToANumberADay"},
	{"birth-minute", "server/job", "TestJobsOfNoSlotAreTakenUpToANumberADay"},
	{"birth-age", "server/job", "TestJobsOfNoSlotAreTakenUpToANumberADay"},
	{"birth-id", "server/job", "TestJobsOfNoSlotAreTakenUpToANumberADay"},
	{"artifacts-host", "server/job", "TestWhatAHostHandsOverAtATimeIsLimited"},
	{"unconfirmed", "server/job", "TestAListingConfirmsABackup"},
	{"report-diverged", "server/job", "TestAnotherWriterOfTheSameNumbersDiverges"},
	{"report-hole", "server/job", "TestAHoleIsAnsweredWithTheNumberExpected"},
	{"report-items", "server/job", "TestReportsHaveLimits"},
	{"report-records", "server/job", "TestReportsHaveLimits"},
	{"chunk-lines", "server/job", "TestAChunkThatLiesAboutItsSizeCostsNothing"},
	{"chunk-bytes", "server/job", "TestAChunkThatLiesAboutItsSizeCostsNothing"},
	{"artifact-size", "server/job", "TestListingsHaveLimits"},
	{"listing-lines", "server/job", "TestListingsHaveLimits"},
	{"event-kind", "server/job", "TestTextsThatNoDatabaseTakesAreRejected"},
	{"event-message", "server/job", "TestTextsThatNoDatabaseTakesAreRejected"},
	{"snapshot-names", "server/job", "TestTextsThatNoDatabaseTakesAreRejected"},
	{"sealed-binding", "server/secret", "TestASealedSecretOpensNowhereElse"},
	{"sealed-version", "server/secret", "TestASealedSecretOpensNowhereElse"},
	{"token-once", "server/store", "TestATokenIsUsedByOneOfTwoHundredInstallations"},
	{"token-revoked", "server/store", "TestATokenThatIsUnknownExpiredOrRevokedIsInvalid"},
	{"token-expired", "server/store", "TestATokenThatIsUnknownExpiredOrRevokedIsInvalid"},
	{"installation-host", "server/store", "TestAnInstallationStaysWithItsHost"},
	{"setup-first", "server/api", "TestOfManySetupsAtOnceOneSucceeds"},
	{"sign-in-hash", "server/auth", "TestSignInsAreKeptAsHashes"},
	{"sign-in-idle", "server/auth", "TestASignInEndsWithoutUseAndInAnyCase"},
	{"cookie-secure", "server/auth", "TestTheCookieIsClosedToEverybodyElse"},
	{"cookie-script", "server/auth", "TestTheCookieIsClosedToEverybodyElse"},
	{"cookie-site", "server/auth", "TestTheCookieIsClosedToEverybodyElse"},
	{"password-decoy", "server/api", "TestSigningInTellsNothingAboutAccounts"},
	{"cross-origin", "server/api", "TestRequestsOfOtherSitesAreRefused"},
	{"api-nosniff", "server/api", "TestAnswersAreDataAndNothingElse"},
	{"page-csp", "server/ui", "TestEveryPageIsRenderedWholeAndShowsNamesAsText"},
	{"channel-secret-shown", "server/ui", "TestARefusedChannelShowsEachMistakeAtItsFieldAndNoSecret"},
	{"form-keeps", "server/ui", "TestAnEditKeepsWhatTheFormDoesNotShow"},
	{"header-timeout", "server", "TestSlowClientsAreCutOff"},
	{"header-size", "server", "TestHeadersHaveALimit"},
	{"secret-store-size", "agent/secret", "TestTheStoreNeverGrowsBeyondWhatIsRead"},
	{"sync-pace", "agent", "TestCommandsThatCannotBeTakenMakeNoBusyLoop"},
	{"prefetch", "agent", "TestConfigurationsDoNotPileUp"},
	{"config-host", "agent", "TestAConfigurationIsTakenWholeOrNotAtAll"},
	{"config-snapshot-host", "agent", "TestAConfigurationIsTakenWholeOrNotAtAll"},
	{"config-repository", "agent", "TestAConfigurationIsTakenWholeOrNotAtAll"},
	{"sealed-keyfile", "server/secret", "TestAKeyFileThatOthersReadIsRefused"},
	{"restic-operation", "restic", "TestBadParamsAreRefusedByCodeAndField"},
	{"restic-field", "restic", "TestBadParamsAreRefusedByCodeAndField"},
	{"restic-field-twice", "restic", "TestBadParamsAreRefusedByCodeAndField"},
	{"location-dots", "restic", "TestHostileLocationsAreRefused"},
	{"location-signs", "restic", "TestHostileLocationsAreRefused"},
	{"location-prefix", "restic", "TestPrefixesCannotBeTricked"},
	{"restic-version", "restic", "TestOnlySupportedVersionsAreAccepted"},
	{"restic-owner", "restic", "TestAProgramThatOthersCouldChangeIsRefused"},
	{"restic-mode", "restic", "TestAProgramThatOthersCouldChangeIsRefused"},
	{"restic-tag", "restic", "TestTags"},
	{"restic-recorded", "restic", "TestNothingIsDoneBeforeTheProcessIsRecorded"},
	{"restic-orphan", "restic", "TestAnOrphanIsKilledOnlyWhenItIsTheSameProcess"},
	{"restic-summary", "restic", "TestOutcomesFollowFacts"},
	{"restic-access", "restic", "TestInvalidAccessIsRefusedBeforeAnythingStarts"},
	{"claim-version", "server/job", "TestNoSlotIsMissedOfTimesThatWereNotInForce"},
	{"claim-future", "server/job", "TestAnAgentThatLiesHarmsNobodyElse"},
	{"absence-future", "server/job", "TestAnAgentThatLiesHarmsNobodyElse"},
	{"offer-name", "server/job", "TestAnAgentThatLiesHarmsNobodyElse"},
	{"slot-id", "server/job", "TestAnAgentThatLiesHarmsNobodyElse"},
	{"missed-early", "server/job", "TestAnAgentThatIsThereAndSaysNothingIsNotBelievedForEver"},
	{"missed-spool", "server/job", "TestAnAgentThatIsThereAndSaysNothingIsNotBelievedForEver"},
	{"missed-once", "server/job", "TestTwoReplicasMissASlotOnce"},
	{"missed-summed", "server/job", "TestOlderMissedSlotsAreSummedUpByTheDay"},
	{"missed-outage", "server/job", "TestNothingIsMissedBecauseTheDatabaseWasSetBack"},
	{"missed-outage", "server/job", "TestADatabaseThatIsAnOlderCopyMakesNothingMissed"},
	{"timing-changed", "server/job", "TestNoSlotIsMissedOfTimesThatWereNotInForce"},
	{"judge-quiet", "server/job", "TestAfterAnOutageOfOursNobodyIsJudgedAtOnce"},
	{"source-missing", "server/fleet", "TestTheWorstThatIsTrueOfAHostIsItsStanding"},
	{"outcome-lists", "server/job", "TestTextsThatNoDatabaseTakesAreRejected"},
	{"outcome-sources", "server/job", "TestTextsThatNoDatabaseTakesAreRejected"},
	{"secret-redacted", "restic", "TestASecretIsReadFromJSONAndText"},
}

// TestGuardsAreProven takes each guard away and wants its test to fail: a control
// that is not proven on is off. It prints guard, test and outcome with -v.
func TestGuardsAreProven(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a package for each guard")
	}
	marks, err := findGuards(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	report(t, "guard", checkGuards(marks, guards))
	p, err := newProver("..", t.TempDir(), marks)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, g := range guards {
		t.Run(g.guard+" by "+g.pkg+"."+g.test, func(t *testing.T) {
			t.Parallel()
			if err := declared(os.DirFS(".."), g); err != nil {
				t.Fatal(err)
			}
			outcome, err := p.prove(ctx, g)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%-20s %-16s %-75s %s", g.guard, g.pkg, g.test, outcome)
			if outcome != failsWhenOff {
				t.Errorf("the test %s", outcome)
			}
		})
	}
}
