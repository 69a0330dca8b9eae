package controller

import (
	"strconv"
	"strings"

	"ottla/zkmeta"
)

func partitionsPath(topic string) string { return zkmeta.TopicPartitions(topic) }
func partitionPath(p *partition) string  { return zkmeta.TopicPartition(p.topic.name, p.id) }
func statePath(p *partition) string      { return zkmeta.TopicPartitionState(p.topic.name, p.id) }
func topicConfigPath(topic string) string {
	return zkmeta.Config(zkmeta.ConfigTopics, topic)
}

func encodeState(s partitionState) []byte {
	z := zkmeta.PartitionState{Leader: s.leader, LeaderEpoch: s.leaderEpoch, ISR: s.isr,
		ControllerEpoch: s.controllerEpoch, Recovering: s.recovering}
	return z.Encode()
}

func decodeState(data []byte) (partitionState, error) {
	z, err := zkmeta.DecodePartitionState(data)
	return partitionState{leader: z.Leader, leaderEpoch: z.LeaderEpoch, isr: z.ISR,
		controllerEpoch: z.ControllerEpoch, recovering: z.Recovering}, err
}

// uncleanSetting reads unclean.leader.election.enable from a topic's configuration; ok is false if the
// topic has no own setting.
func uncleanSetting(data []byte) (enabled, ok bool, err error) {
	c, err := zkmeta.DecodeConfig(data)
	if err != nil {
		return false, false, err
	}
	v, ok := c.Config["unclean.leader.election.enable"]
	if !ok {
		return false, false, nil
	}
	enabled, err = strconv.ParseBool(strings.ToLower(strings.TrimSpace(v)))
	return enabled, true, err
}

// sameBroker tells whether two registrations say the same about how to reach the broker.
func sameBroker(a, b zkmeta.BrokerInfo) bool {
	if a.Rack != b.Rack || len(a.Endpoints) != len(b.Endpoints) {
		return false
	}
	for i, e := range a.Endpoints {
		if e != b.Endpoints[i] {
			return false
		}
	}
	return true
}
