package controller

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// activeController finds the one that is active, or nil.
func (c *cluster) activeController() *Controller {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.brokers {
		if b.ctrl != nil && b.ctrl.IsActive() {
			return b.ctrl
		}
	}
	return nil
}

// alterISR sends AlterPartition as the leader of the partition would, from what that broker was told.
func (c *cluster) alterISR(ctrl *Controller, from int32, topic string, p int32, isr ...int32) (code int16, answer kmsg.AlterPartitionResponseTopicPartition) {
	b := c.broker(from)
	c.mu.Lock()
	r := b.replicas[zkmeta.TP{Topic: topic, Partition: p}]
	epoch := b.epoch
	c.mu.Unlock()
	return c.alterPartition(ctrl, from, epoch, topicID(topic), p, r.LeaderEpoch, r.ZKVersion, isr...)
}

func (c *cluster) alterPartition(ctrl *Controller, from int32, epoch int64, id [16]byte, p, leaderEpoch, partitionEpoch int32, isr ...int32) (code int16, answer kmsg.AlterPartitionResponseTopicPartition) {
	resp := ctrl.AlterPartition(context.Background(), alterRequest(from, epoch, id, p, leaderEpoch, partitionEpoch, isr...))
	if resp.ErrorCode != 0 {
		return resp.ErrorCode, kmsg.AlterPartitionResponseTopicPartition{ErrorCode: resp.ErrorCode}
	}
	return 0, resp.Topics[0].Partitions[0]
}

func alterRequest(from int32, epoch int64, id [16]byte, p, leaderEpoch, partitionEpoch int32, isr ...int32) *kmsg.AlterPartitionRequest {
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version = 3
	req.BrokerID, req.BrokerEpoch = from, epoch
	rt := kmsg.NewAlterPartitionRequestTopic()
	rt.TopicID = id
	rp := kmsg.NewAlterPartitionRequestTopicPartition()
	rp.Partition, rp.LeaderEpoch, rp.PartitionEpoch = p, leaderEpoch, partitionEpoch
	for _, id := range isr {
		rp.NewEpochISR = append(rp.NewEpochISR, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: id, BrokerEpoch: -1})
	}
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// leaderWantsISR has the leader ask for an ISR, if replicas of it were told that they are replicas. It
// answers whether the ISR is (or was, before a reassignment went on) that one.
func (c *cluster) leaderWantsISR(topic string, p int32, isr ...int32) bool {
	s, ok := c.state(topic, p)
	if !ok {
		return false
	}
	var a zkmeta.TopicAssignment
	a, err := zkmeta.DecodeTopicAssignment([]byte(c.get(zkmeta.Topic(topic))))
	if err != nil {
		c.t.Fatal(err)
	}
	if len(a.Adding[p]) == 0 && slices.Contains(s.ISR, isr[len(isr)-1]) {
		return true // the reassignment is over
	}
	ctrl := c.activeController()
	b := c.broker(s.Leader)
	if ctrl == nil || b == nil {
		return false
	}
	c.mu.Lock()
	r := b.replicas[zkmeta.TP{Topic: topic, Partition: p}]
	c.mu.Unlock()
	if len(without(isr, r.Replicas)) > 0 {
		return false
	}
	code, answer := c.alterISR(ctrl, s.Leader, topic, p, isr...)
	return code == 0 && answer.ErrorCode == 0
}
