package group

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/coordinator"
)

// Codes of this package's answers, by their names.
var (
	codeUnknownServerError      = kerr.UnknownServerError.Code
	codeUnknownTopicOrPartition = kerr.UnknownTopicOrPartition.Code
	codeMetadataTooLarge        = kerr.OffsetMetadataTooLarge.Code
	codeLoadInProgress          = kerr.CoordinatorLoadInProgress.Code
	codeNotAvailable            = kerr.CoordinatorNotAvailable.Code
	codeNotCoordinator          = kerr.NotCoordinator.Code
	codeIllegalGeneration       = kerr.IllegalGeneration.Code
	codeInconsistentProtocol    = kerr.InconsistentGroupProtocol.Code
	codeInvalidGroupID          = kerr.InvalidGroupID.Code
	codeUnknownMemberID         = kerr.UnknownMemberID.Code
	codeInvalidSessionTimeout   = kerr.InvalidSessionTimeout.Code
	codeRebalanceInProgress     = kerr.RebalanceInProgress.Code
	codeInvalidCommitSize       = kerr.InvalidCommitOffsetSize.Code
	codeInvalidRequest          = kerr.InvalidRequest.Code
	codeNonEmptyGroup           = kerr.NonEmptyGroup.Code
	codeGroupIDNotFound         = kerr.GroupIDNotFound.Code
	codeMemberIDRequired        = kerr.MemberIDRequired.Code
	codeGroupMaxSize            = kerr.GroupMaxSizeReached.Code
	codeFencedInstance          = kerr.FencedInstanceID.Code
	codeGroupSubscribed         = kerr.GroupSubscribedToTopic.Code
	codeUnstableOffset          = kerr.UnstableOffsetCommit.Code
)

// code is the Kafka code that err carries, UNKNOWN_SERVER_ERROR if it carries none.
func code(err error) int16 {
	if err == nil {
		return 0
	}
	if e := coordinator.AsKerr(err); e != nil {
		return e.Code
	}
	return codeUnknownServerError
}

// appendCode translates why a record was not written or not committed into what a client of the coordinator understands; the
// rest is left as it is (GroupMetadataManager.storeGroup and maybeConvertOffsetCommitError).
func appendCode(err error) int16 {
	switch c := code(err); c {
	case kerr.UnknownTopicOrPartition.Code, kerr.NotEnoughReplicas.Code, kerr.NotEnoughReplicasAfterAppend.Code:
		return codeNotAvailable
	case kerr.NotLeaderForPartition.Code, kerr.KafkaStorageError.Code, kerr.FencedLeaderEpoch.Code, kerr.UnknownLeaderEpoch.Code:
		return codeNotCoordinator
	default:
		return c
	}
}

// commitCode is appendCode for offsets: REQUEST_TIMED_OUT stays.
func commitCode(err error) int16 {
	switch c := appendCode(err); c {
	case kerr.NetworkException.Code:
		return codeLoadInProgress
	case kerr.MessageTooLarge.Code, kerr.RecordListTooLarge.Code, kerr.InvalidFetchSize.Code:
		return codeInvalidCommitSize
	default:
		return c
	}
}

// storeCode is appendCode for group records.
func storeCode(err error) int16 {
	switch c := appendCode(err); c {
	case kerr.RequestTimedOut.Code:
		return codeRebalanceInProgress
	case kerr.MessageTooLarge.Code, kerr.RecordListTooLarge.Code, kerr.InvalidFetchSize.Code:
		return codeUnknownServerError
	default:
		return c
	}
}

// readCode is for answers that wrote nothing and waited for what they rest on: every client retries COORDINATOR_LOAD_IN_PROGRESS.
func readCode(err error) int16 {
	if c := appendCode(err); c != kerr.RequestTimedOut.Code {
		return c
	}
	return codeLoadInProgress
}
