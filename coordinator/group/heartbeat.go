package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
)

// heartbeatEvent is a Heartbeat, versions 0-4. v3: group instance id (KIP-345).
//
// Errors: UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, FENCED_INSTANCE_ID, REBALANCE_IN_PROGRESS. While the group is loaded the answer is
// no error: what the member knows is still to be checked.
type heartbeatEvent struct {
	coordinator.Request
	req  *kmsg.HeartbeatRequest
	code int16
}

func (e *heartbeatEvent) Traits() coordinator.Traits { return coordinator.Batching }

// Fail implements coordinator.Event.
func (e *heartbeatEvent) Fail(err error) {
	if e.code = appendCode(err); e.code == codeLoadInProgress {
		e.code = 0
	}
	e.Finish()
}

func (e *heartbeatEvent) handle(m *machine, now time.Time) {
	e.code = e.beat(m, now)
	e.Finish()
}

func (e *heartbeatEvent) beat(m *machine, now time.Time) int16 {
	g := m.groups[e.req.Group]
	if g == nil {
		return codeUnknownMemberID
	}
	if g.consumer != nil {
		return e.beatConsumer(m, now, g)
	}
	if c := g.validate(e.req.MemberID, e.req.InstanceID); c != 0 {
		return c
	}
	if e.req.Generation != g.generation {
		return codeIllegalGeneration
	}
	mb := g.members[e.req.MemberID]
	switch g.state {
	case empty:
		return codeUnknownMemberID
	case preparingRebalance:
		m.touch(now, mb)
		return codeRebalanceInProgress
	default:
		m.touch(now, mb)
		return 0
	}
}
