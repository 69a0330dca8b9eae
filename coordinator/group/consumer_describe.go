package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator"
	"ottla/coordinator/group/assignor"
	"ottla/coordinator/group/consumer"
)

// What ConsumerGroupDescribe version 1 calls a member's protocol.
const (
	memberTypeClassic  int8 = 0
	memberTypeConsumer int8 = 1
)

// consumerDescribeEvent describes one group for ConsumerGroupDescribe, versions 0-1 (KIP-848). v1: types of members.
//
// Errors: GROUP_ID_NOT_FOUND, of classic groups too.
type consumerDescribeEvent struct {
	coordinator.Request
	group string
	resp  *kmsg.ConsumerGroupDescribeResponseGroup
}

func (e *consumerDescribeEvent) Traits() coordinator.Traits { return 0 }

// Fail implements coordinator.Event.
func (e *consumerDescribeEvent) Fail(err error) {
	e.resp.ErrorCode = consumerCode(err)
	e.Finish()
}

func (e *consumerDescribeEvent) handle(m *machine, _ time.Time) {
	g := m.groups[e.group]
	if g == nil || g.consumer == nil {
		message := "Group " + e.group + " not found."
		if g != nil {
			message = "Group " + e.group + " is not a consumer group."
		}
		e.resp.ErrorCode, e.resp.ErrorMessage = kerr.GroupIDNotFound.Code, &message
		e.Finish()
		return
	}
	cg, topics := g.consumer, m.deps.Topics()
	if topics == nil {
		e.Fail(kerr.CoordinatorLoadInProgress)
		return
	}
	e.resp.State, e.resp.Epoch, e.resp.AssignmentEpoch = cg.State(), cg.Epoch(), cg.TargetEpoch()
	if e.resp.AssignorName = cg.Assignor(); e.resp.AssignorName == "" {
		e.resp.AssignorName = m.cfg.Consumer.Assignors[0]
	}
	for _, mb := range cg.Members() {
		e.resp.Members = append(e.resp.Members, describeConsumer(mb, cg.Target(mb.ID), topics))
	}
	m.out.Done = func(_ time.Time, err error) { // it shows what may not be committed yet
		if err != nil {
			*e.resp = kmsg.ConsumerGroupDescribeResponseGroup{Group: e.resp.Group, Members: []kmsg.ConsumerGroupDescribeResponseGroupMember{}}
			e.Fail(err)
			return
		}
		e.Finish()
	}
}

func describeConsumer(mb *consumer.Member, target assignor.Assignment, topics consumer.Topics) kmsg.ConsumerGroupDescribeResponseGroupMember {
	d := kmsg.NewConsumerGroupDescribeResponseGroupMember()
	d.MemberID, d.InstanceID, d.RackID, d.MemberEpoch = mb.ID, optional(mb.InstanceID, true), optional(mb.RackID, true), mb.Epoch
	d.ClientID, d.ClientHost, d.SubscribedTopics = mb.ClientID, mb.ClientHost, mb.Topics
	if d.SubscribedTopics == nil {
		d.SubscribedTopics = []string{}
	}
	d.SubscribedTopicRegex = &mb.Regex
	d.Assignment, d.TargetAssignment = named(mb.Holds(), topics), named(target, topics)
	d.MemberType = memberTypeConsumer
	if mb.Classic != nil {
		d.MemberType = memberTypeClassic
	}
	return d
}

func named(a assignor.Assignment, topics consumer.Topics) kmsg.Assignment {
	as := kmsg.Assignment{TopicPartitions: []kmsg.AssignmentTopicPartition{}}
	for _, n := range consumer.WithNames(a, topics) {
		as.TopicPartitions = append(as.TopicPartitions, kmsg.AssignmentTopicPartition{TopicID: n.ID, Topic: n.Topic, Partitions: n.Partitions})
	}
	return as
}
