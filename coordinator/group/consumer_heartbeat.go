package group

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
	"ottla/coordinator/group/consumer"
)

// Member epochs of ConsumerGroupHeartbeat that are no epochs.
const (
	epochJoin        int32 = 0
	epochLeave       int32 = -1
	epochStaticLeave int32 = -2 // a static member that will come back
)

// consumerHeartbeatEvent is a ConsumerGroupHeartbeat, versions 0-1 (KIP-848). v1: regular expressions, and the client makes up the
// member id.
//
// Errors: INVALID_REQUEST, UNSUPPORTED_ASSIGNOR, GROUP_ID_NOT_FOUND, UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID,
// FENCED_INSTANCE_ID, GROUP_MAX_SIZE_REACHED, INVALID_REGULAR_EXPRESSION, and those of every group API.
type consumerHeartbeatEvent struct {
	coordinator.Request
	client Client
	req    *kmsg.ConsumerGroupHeartbeatRequest // not to be read once handled
	resp   *kmsg.ConsumerGroupHeartbeatResponse
}

func (e *consumerHeartbeatEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *consumerHeartbeatEvent) Fail(err error) {
	e.resp.MemberID, e.resp.Assignment = nil, nil
	e.resp.MemberEpoch, e.resp.HeartbeatIntervalMillis = 0, 0
	e.resp.ErrorCode, e.resp.ErrorMessage = consumerCode(err), nil
	if refused, ok := errors.AsType[*consumer.Error](err); ok {
		message := refused.Message
		e.resp.ErrorMessage = &message
	}
	e.Finish()
}

// consumerCode is the code for a record that was not written or not committed: REQUEST_TIMED_OUT becomes one that clients of the new protocol
// retry at.
func consumerCode(err error) int16 {
	switch c := appendCode(err); c {
	case kerr.RequestTimedOut.Code:
		return codeNotAvailable
	case kerr.MessageTooLarge.Code, kerr.RecordListTooLarge.Code, kerr.InvalidFetchSize.Code:
		return codeUnknownServerError
	default:
		return c
	}
}

func refuse(code *kerr.Error, format string, args ...any) error {
	return &consumer.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func blank(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }

// validate checks the request by itself (GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid).
func (e *consumerHeartbeatEvent) validate(assignors []string) error {
	req := e.req
	invalid := func(message string) error { return refuse(kerr.InvalidRequest, "%s", message) }
	switch {
	case (req.Version >= 1 || req.MemberEpoch > epochJoin || req.MemberEpoch == epochLeave) && blank(&req.MemberID):
		return invalid("MemberId can't be empty.")
	case blank(&req.Group):
		return invalid("GroupId can't be empty.")
	case blank(req.InstanceID):
		return invalid("InstanceId can't be empty.")
	case blank(req.RackID):
		return invalid("RackId can't be empty.")
	}
	switch {
	case req.MemberEpoch == epochJoin:
		switch {
		case req.RebalanceTimeoutMillis == -1:
			return invalid("RebalanceTimeoutMs must be provided in first request.")
		case req.Topics == nil || len(req.Topics) > 0:
			return invalid("TopicPartitions must be empty when (re-)joining.")
		case req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil:
			return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
		}
	case req.MemberEpoch == epochStaticLeave && req.InstanceID == nil:
		return invalid("InstanceId can't be null.")
	case req.MemberEpoch < epochStaticLeave:
		return invalid("MemberEpoch is invalid.")
	}
	if a := req.ServerAssignor; a != nil && !contains(assignors, *a) {
		return refuse(kerr.UnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.", *a, strings.Join(assignors, ", "))
	}
	if len(req.MemberID) > maxString || req.InstanceID != nil && len(*req.InstanceID) > maxString {
		return invalid("MemberId or InstanceId is too long.")
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func (e *consumerHeartbeatEvent) handle(m *machine, now time.Time) {
	req := e.req
	g := m.groups[req.Group]
	switch {
	case m.deps.Topics() == nil:
		e.Fail(kerr.CoordinatorLoadInProgress)
	case req.MemberEpoch == epochJoin:
		e.join(m, now, g)
	case g == nil && req.MemberEpoch < epochJoin:
		e.Fail(refuse(kerr.GroupIDNotFound, "Group %s not found.", req.Group))
	case g == nil:
		e.Fail(refuse(kerr.GroupIDNotFound, "Consumer group %s not found.", req.Group))
	case g.consumer == nil:
		e.Fail(refuse(kerr.GroupIDNotFound, "Group %s is not a consumer group.", req.Group))
	case req.MemberEpoch < epochJoin:
		e.leave(m, now, g)
	default:
		e.beat(m, now, g.consumer, nil)
	}
}

// join is a heartbeat that may make a group, or make a consumer group of a classic one.
func (e *consumerHeartbeatEvent) join(m *machine, now time.Time, g *group) {
	switch {
	case g == nil:
		e.beat(m, now, consumer.New(strings.Clone(e.req.Group)), nil)
	case g.consumer != nil:
		e.beat(m, now, g.consumer, nil)
	default:
		cg, records, err := m.toConsumer(now, g)
		if err != nil {
			e.Fail(err)
			return
		}
		m.converting = g.id
		if !e.beat(m, now, cg, records) {
			m.converting = ""
		}
	}
}

// beat takes the heartbeat to the group; before are records that have to be written first. False if it was refused.
func (e *consumerHeartbeatEvent) beat(m *machine, now time.Time, cg *consumer.Group, before []coordinator.KeyValue) bool {
	id := strings.Clone(e.req.Group)
	env := m.env(now)
	d, err := cg.Heartbeat(env, e.heartbeat())
	if err != nil {
		e.Fail(err)
		return false
	}
	_, interval := m.timeouts(id)
	e.resp.MemberID, e.resp.MemberEpoch = &d.Member.ID, d.Member.Epoch
	e.resp.HeartbeatIntervalMillis = int32(interval.Milliseconds())
	if d.Assignment != nil {
		e.resp.Assignment = &kmsg.ConsumerGroupHeartbeatResponseAssignment{Topics: []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{}}
		for _, t := range d.Assignment.SortedTopics() {
			e.resp.Assignment.Topics = append(e.resp.Assignment.Topics, kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{
				TopicID: t, Partitions: d.Assignment[t],
			})
		}
	}
	m.emitAll(before)
	m.emitAll(d.Records)
	m.out.Applied = func(now time.Time) {
		m.converting = ""
		g := m.groups[id]
		if g == nil || g.consumer == nil {
			return
		}
		m.leaveClassicProtocol(now, g)
		g.consumer.Seen(env.Topics)
		if d.Bumped {
			m.stats.consumerRebalances.Add(1)
		}
		m.touchConsumer(now, g, d.Member)
		if d.Moved {
			m.watchRevocation(now, g, d.Member)
		}
	}
	m.out.Done = func(_ time.Time, err error) {
		m.converting = ""
		if err != nil {
			e.Fail(err)
			return
		}
		e.Finish()
	}
	return true
}

func (e *consumerHeartbeatEvent) heartbeat() consumer.Heartbeat {
	req := e.req
	h := consumer.Heartbeat{
		MemberID: req.MemberID, Epoch: req.MemberEpoch, RackID: req.RackID, ClientID: e.client.ID, ClientHost: e.client.Host,
		RebalanceTimeoutMs: req.RebalanceTimeoutMillis, Topics: req.SubscribedTopicNames, Regex: req.SubscribedTopicRegex, Assignor: req.ServerAssignor,
	}
	if h.MemberID == "" { // version 0
		h.MemberID = newUUID()
	}
	if req.InstanceID != nil {
		h.InstanceID = *req.InstanceID
	}
	if req.Topics != nil {
		h.Owned = make([]consumer.TopicPartitions, len(req.Topics))
		for i, t := range req.Topics {
			h.Owned[i] = consumer.TopicPartitions{Topic: t.TopicID, Partitions: t.Partitions}
		}
	}
	return h
}

func (e *consumerHeartbeatEvent) leave(m *machine, now time.Time, g *group) {
	instance := ""
	if e.req.InstanceID != nil {
		instance = *e.req.InstanceID
	}
	records, gone, err := g.consumer.Leave(m.env(now), e.req.MemberID, instance, e.req.MemberEpoch)
	if err != nil {
		e.Fail(err)
		return
	}
	id, epoch := strings.Clone(e.req.MemberID), e.req.MemberEpoch
	m.emitAll(records)
	m.out.Applied = func(time.Time) {
		switch t := g.timers[id]; {
		case gone != nil && gone.Classic == nil:
			m.maybeDowngrade(g)
		case gone == nil && t != nil: // it has given up everything, and has its session to come back
			m.timers.Stop(&t.rebalance)
		}
	}
	m.out.Done = func(_ time.Time, err error) {
		if err != nil {
			e.Fail(err)
			return
		}
		e.resp.MemberID, e.resp.MemberEpoch = &id, epoch
		e.Finish()
	}
}
