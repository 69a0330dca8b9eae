package zkmeta

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// featureLevel reads a number (version 2 of /feature) or {"min_version_level":..,"max_version_level":..}.
type featureLevel FeatureRange

func (l *featureLevel) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var j struct {
			Min int16 `json:"min_version_level"`
			Max int16 `json:"max_version_level"`
		}
		err := json.Unmarshal(b, &j)
		*l = featureLevel{j.Min, j.Max}
		return err
	}
	return json.Unmarshal(b, &l.Max)
}

// TopicAssignment is /brokers/topics/<topic> (kafka.zk.TopicZNode).
type TopicAssignment struct {
	Version    int32 // 3; 1 and 2 are read too
	Partitions map[int32][]int32
	// Adding and Removing are the replicas of a reassignment under way, by partition; without one, empty.
	Adding   map[int32][]int32
	Removing map[int32][]int32
	// TopicID is all zero in topics older than IBP 2.8.
	TopicID [16]byte
}

// HasTopicID says that the topic has an id.
func (t *TopicAssignment) HasTopicID() bool { return t.TopicID != [16]byte{} }

// Encode writes version 3, without topic_id if there is none.
func (t *TopicAssignment) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		replicas := func(key string, m map[int32][]int32) {
			w.object(key, func() {
				for _, p := range sortedKeys(m) {
					w.ints(strconv.Itoa(int(p)), m[p])
				}
			})
		}
		replicas("partitions", t.Partitions)
		if t.HasTopicID() {
			w.string("topic_id", EncodeTopicID(t.TopicID))
		}
		replicas("adding_replicas", nonEmpty(t.Adding))
		replicas("removing_replicas", nonEmpty(t.Removing))
		w.int("version", 3)
	})
}

// nonEmpty drops partitions without replicas, as Kafka does for the two reassignment maps.
func nonEmpty(m map[int32][]int32) map[int32][]int32 {
	out := make(map[int32][]int32, len(m))
	for p, r := range m {
		if len(r) > 0 {
			out[p] = r
		}
	}
	return out
}

// DecodeTopicAssignment reads versions 1 to 3.
func DecodeTopicAssignment(data []byte) (TopicAssignment, error) {
	const what = "topic assignment"
	var j struct {
		Version    int32              `json:"version"`
		Partitions map[string][]int32 `json:"partitions"`
		Adding     map[string][]int32 `json:"adding_replicas"`
		Removing   map[string][]int32 `json:"removing_replicas"`
		TopicID    *string            `json:"topic_id"`
	}
	if err := decodeObject(what, data, &j); err != nil {
		return TopicAssignment{}, err
	}
	t := TopicAssignment{Version: j.Version}
	for _, m := range []struct {
		from map[string][]int32
		to   *map[int32][]int32
	}{{j.Partitions, &t.Partitions}, {j.Adding, &t.Adding}, {j.Removing, &t.Removing}} {
		*m.to = make(map[int32][]int32, len(m.from))
		for key, replicas := range m.from {
			p, err := strconv.ParseInt(key, 10, 32)
			if err != nil || p < 0 {
				return TopicAssignment{}, malformed(what, data, fmt.Sprintf("partition %q", key))
			}
			(*m.to)[int32(p)] = replicas
		}
	}
	if j.TopicID != nil {
		id, err := DecodeTopicID(*j.TopicID)
		if err != nil {
			return TopicAssignment{}, malformed(what, data, err.Error())
		}
		t.TopicID = id
	}
	return t, nil
}

// EncodeTopicID is Kafka's Uuid text: URL-safe base64 without padding, 22 characters.
func EncodeTopicID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// DecodeTopicID reads a topic id; padding is accepted, as in Uuid.fromString.
func DecodeTopicID(text string) (id [16]byte, err error) {
	enc := base64.RawURLEncoding
	if len(text) == 24 {
		enc = base64.URLEncoding
	}
	if len(text) != 22 && len(text) != 24 {
		return id, fmt.Errorf("topic id %q has not 22 characters", text)
	}
	b, err := enc.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("topic id %q is not base64 of 16 bytes", text)
	}
	return [16]byte(b), nil
}

// PartitionState is /brokers/topics/<t>/partitions/<p>/state. Its partition epoch is the node's version.
type PartitionState struct {
	Leader          int32 // -1 is none
	LeaderEpoch     int32
	ISR             []int32
	ControllerEpoch int32
	Recovering      bool // leader_recovery_state 1: elected unclean and not yet recovered
}

func (s *PartitionState) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		w.int("controller_epoch", int64(s.ControllerEpoch))
		w.int("leader", int64(s.Leader))
		w.int("version", 1)
		if s.Recovering {
			w.int("leader_recovery_state", 1)
		}
		w.int("leader_epoch", int64(s.LeaderEpoch))
		w.ints("isr", s.ISR)
	})
}

func DecodePartitionState(data []byte) (PartitionState, error) {
	const what = "partition state"
	var j struct {
		Leader          *int32  `json:"leader"`
		LeaderEpoch     *int32  `json:"leader_epoch"`
		ISR             []int32 `json:"isr"`
		ControllerEpoch *int32  `json:"controller_epoch"`
		Recovery        int32   `json:"leader_recovery_state"`
	}
	if err := decodeObject(what, data, &j); err != nil {
		return PartitionState{}, err
	}
	if j.Leader == nil || j.LeaderEpoch == nil || j.ISR == nil || j.ControllerEpoch == nil {
		return PartitionState{}, malformed(what, data, "leader, leader_epoch, isr or controller_epoch is missing")
	}
	if j.Recovery < 0 || j.Recovery > 1 {
		return PartitionState{}, malformed(what, data, "unknown leader_recovery_state")
	}
	return PartitionState{*j.Leader, *j.LeaderEpoch, j.ISR, *j.ControllerEpoch, j.Recovery == 1}, nil
}

// TP names a partition.
type TP struct {
	Topic     string
	Partition int32
}

func (tp TP) String() string { return tp.Topic + "-" + strconv.Itoa(int(tp.Partition)) }

// IsrChange is /isr_change_notification/isr_change_N and /admin/preferred_replica_election: a list of
// partitions.
type IsrChange struct{ Partitions []TP }

func (c IsrChange) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		w.int("version", 1)
		w.array("partitions", len(c.Partitions), func(i int) {
			w.open('{')
			w.string("topic", c.Partitions[i].Topic)
			w.int("partition", int64(c.Partitions[i].Partition))
			w.close('}')
		})
	})
}

// PreferredElection is /admin/preferred_replica_election.
type PreferredElection = IsrChange

type jsonTP struct {
	Topic     *string `json:"topic"`
	Partition *int32  `json:"partition"`
	Replicas  []int32 `json:"replicas"`
}

func decodePartitions(what string, data []byte) ([]jsonTP, error) {
	var j struct {
		Partitions []jsonTP `json:"partitions"`
	}
	if err := decodeObject(what, data, &j); err != nil {
		return nil, err
	}
	if err := required(what, data, "partitions", j.Partitions != nil); err != nil {
		return nil, err
	}
	for _, p := range j.Partitions {
		if p.Topic == nil || p.Partition == nil || *p.Partition < 0 {
			return nil, malformed(what, data, "a partition without topic or number")
		}
	}
	return j.Partitions, nil
}

// DecodeIsrChange reads a list of partitions.
func DecodeIsrChange(data []byte) (IsrChange, error) {
	list, err := decodePartitions("list of partitions", data)
	if err != nil {
		return IsrChange{}, err
	}
	c := IsrChange{Partitions: make([]TP, len(list))}
	for i, p := range list {
		c.Partitions[i] = TP{*p.Topic, *p.Partition}
	}
	return c, nil
}

// DecodePreferredElection reads /admin/preferred_replica_election.
func DecodePreferredElection(data []byte) (PreferredElection, error) { return DecodeIsrChange(data) }

// Reassignment is one entry of /admin/reassign_partitions.
type Reassignment struct {
	TP
	Replicas []int32
}

// ReassignmentRequest is /admin/reassign_partitions, which only tools older than 2.4 write.
type ReassignmentRequest struct{ Partitions []Reassignment }

func (r ReassignmentRequest) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		w.int("version", 1)
		w.array("partitions", len(r.Partitions), func(i int) {
			p := r.Partitions[i]
			w.open('{')
			w.string("topic", p.Topic)
			w.int("partition", int64(p.Partition))
			w.ints("replicas", p.Replicas)
			w.close('}')
		})
	})
}

func DecodeReassignPartitions(data []byte) (ReassignmentRequest, error) {
	list, err := decodePartitions(ReassignPartitions, data)
	if err != nil {
		return ReassignmentRequest{}, err
	}
	r := ReassignmentRequest{Partitions: make([]Reassignment, len(list))}
	for i, p := range list {
		if p.Replicas == nil {
			return ReassignmentRequest{}, malformed(ReassignPartitions, data, "a partition without replicas")
		}
		r.Partitions[i] = Reassignment{TP{*p.Topic, *p.Partition}, p.Replicas}
	}
	return r, nil
}

// EncodeConsumerOffset and DecodeConsumerOffset: /consumers/<g>/offsets/<t>/<p> is decimal text.
func EncodeConsumerOffset(offset int64) []byte { return strconv.AppendInt(nil, offset, 10) }

func DecodeConsumerOffset(data []byte) (int64, error) { return decodeText("consumer offset", data, 64) }
