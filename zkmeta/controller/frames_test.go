package controller

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// frame reads a request frame captured from a Kafka 3.9.2 controller, and decodes it.
func frame(t *testing.T, name string) (body []byte, req kmsg.Request) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".req.bin"))
	if err != nil {
		t.Fatal(err)
	}
	b = b[4:] // length
	key, version := int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:]))
	client := int(binary.BigEndian.Uint16(b[8:]))
	body = b[10+client+1:] // key, version, correlation id, client id, no tags
	req = kmsg.RequestForKey(key)
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	return body, req
}

// machineOf is a machine in the middle of a term.
func machineOf(id, epoch int32) *Machine {
	m := NewMachine(testConfig(id, zerolog.Nop()))
	m.term = newTerm(epoch, epoch)
	return m
}

func (c *term) testTopic(name string, id [16]byte) *topic {
	t := c.topics[name]
	if t == nil {
		t = &topic{name: name, id: id, hasID: true}
		c.addTopic(t)
	}
	return t
}

// Given the state that a Kafka controller had, ours sends the same bytes, but for the order of entries:
// Kafka's comes from hash maps.
func TestLeaderAndISRIsKafkas(t *testing.T) {
	for _, name := range []string{"065-k04-v7-LeaderAndIsr", "070-k04-v7-LeaderAndIsr"} {
		body, r := frame(t, name)
		req := r.(*kmsg.LeaderAndISRRequest)
		if !bytes.Equal(req.AppendTo(nil), body) {
			t.Fatalf("%s does not encode back to itself", name)
		}
		m := machineOf(req.ControllerID, req.ControllerEpoch)
		for id := int32(1); id <= 3; id++ {
			info := brokerInfo(id)
			info.Endpoints[0].Port = 31520 + id
			m.term.brokers[id] = &broker{info: info, epoch: req.BrokerEpoch}
		}
		ps := map[*partition]bool{}
		for i := range req.TopicStates {
			ts := &req.TopicStates[i]
			top := m.term.testTopic(ts.Topic, ts.TopicID)
			for _, s := range ts.PartitionStates {
				p := &partition{topic: top, id: s.Partition, replicas: s.Replicas, adding: s.AddingReplicas, removing: s.RemovingReplicas,
					written: true, version: s.ZKVersion, state: partitionState{leader: s.Leader, leaderEpoch: s.LeaderEpoch, isr: s.ISR, controllerEpoch: s.ControllerEpoch}}
				ps[p] = s.IsNew
			}
			slices.SortFunc(ts.PartitionStates, func(a, b kmsg.LeaderAndISRRequestTopicPartition) int { return int(a.Partition - b.Partition) })
		}
		got := m.leaderAndISRRequest(m.term.brokers[1], ps)
		if !bytes.Equal(got.AppendTo(nil), req.AppendTo(nil)) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, req)
		}
	}
}

func TestUpdateMetadataIsKafkas(t *testing.T) {
	for _, name := range []string{"113-k06-v8-UpdateMetadata", "119-k06-v8-UpdateMetadata"} {
		body, r := frame(t, name)
		req := r.(*kmsg.UpdateMetadataRequest)
		if !bytes.Equal(req.AppendTo(nil), body) {
			t.Fatalf("%s does not encode back to itself", name)
		}
		m := machineOf(req.ControllerID, req.ControllerEpoch)
		slices.SortFunc(req.LiveBrokers, func(a, b kmsg.UpdateMetadataRequestLiveBroker) int { return int(a.ID - b.ID) })
		protocols := []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}
		for _, lb := range req.LiveBrokers {
			info := zkmeta.BrokerInfo{ID: lb.ID, Rack: *lb.Rack}
			for _, ep := range lb.Endpoints {
				info.Endpoints = append(info.Endpoints, zkmeta.Endpoint{Listener: ep.ListenerName, Protocol: protocols[ep.SecurityProtocol], Host: ep.Host, Port: ep.Port})
			}
			m.term.brokers[lb.ID] = &broker{info: info, epoch: req.BrokerEpoch}
		}
		ps := map[*partition]struct{}{}
		for i := range req.TopicStates {
			ts := &req.TopicStates[i]
			top := m.term.testTopic(ts.Topic, ts.TopicID)
			for _, s := range ts.PartitionStates {
				p := &partition{topic: top, id: s.Partition, replicas: s.Replicas, written: true, version: s.ZKVersion,
					state: partitionState{leader: s.Leader, leaderEpoch: s.LeaderEpoch, isr: s.ISR, controllerEpoch: s.ControllerEpoch}}
				ps[p] = struct{}{}
			}
			slices.SortFunc(ts.PartitionStates, func(a, b kmsg.UpdateMetadataRequestTopicPartition) int { return int(a.Partition - b.Partition) })
		}
		m.sendMetadata([]int32{req.LiveBrokers[0].ID}, ps)
		got := m.sends[0].Request
		if !bytes.Equal(got.AppendTo(nil), req.AppendTo(nil)) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, req)
		}
	}
}
