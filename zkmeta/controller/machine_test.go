package controller

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// A stepper drives a Machine by hand: no loop, no channels, no clock.
type stepper struct {
	c   *cluster
	m   *Machine
	x   *executor
	now time.Time
	// sent are the requests to brokers; they are answered only by answer.
	sent []Send
}

func newStepper(c *cluster, id int32, change ...func(*Config)) *stepper {
	b := c.register(id)
	cfg := testConfig(id, zerolog.Nop())
	for _, f := range change {
		f(&cfg)
	}
	s := &stepper{c: c, m: NewMachine(cfg), now: time.Unix(1_800_000_000, 0)}
	s.x = newExecutor(b.session, func(string) {}, zerolog.Nop())
	s.do(SessionStarted{ID: b.session.ID()})
	return s
}

func (s *stepper) do(ev Event) {
	step := s.m.Process(s.now, ev)
	for {
		s.sent = append(s.sent, step.Sends...)
		if step.Done {
			return
		}
		step = s.m.Resume(s.now, s.x.do(context.Background(), step.Requests))
	}
}

// answer gives what was sent to the brokers, and their answers to the machine, until nothing more is sent.
func (s *stepper) answer() {
	for len(s.sent) > 0 {
		sent := s.sent
		s.sent = nil
		for _, send := range sent {
			if send.Kind != SendRequest {
				continue
			}
			resp, err := s.c.Send(context.Background(), zkmeta.BrokerInfo{ID: send.Broker}, send.Request)
			if err == nil {
				s.do(BrokerAnswered{Broker: send.Broker, Request: send.Request, Response: resp})
			}
		}
	}
}

func (s *stepper) changed(path string) {
	s.do(ZNodeChanged{Path: path})
	s.answer()
}

func TestLeadersAreRebalancedAfterAWhile(t *testing.T) {
	c := newCluster(t)
	s := newStepper(c, 1, func(cfg *Config) { cfg.AutoRebalance = true })
	c.register(2)
	s.changed(zkmeta.BrokersIDs)
	c.createTopic("t", []int32{1, 2}, []int32{2, 1}, []int32{2, 1}, []int32{2, 1}, []int32{2, 1}, []int32{2, 1}, []int32{2, 1}, []int32{2, 1}, []int32{2, 1}, []int32{2, 1}, []int32{2, 1})
	s.changed(zkmeta.BrokersTopics)
	c.kill(c.broker(2))
	s.changed(zkmeta.BrokersIDs)
	c.register(2)
	s.changed(zkmeta.BrokersIDs)
	s.now = s.now.Add(firstRebalance)
	if d := s.m.Deadline(); d.After(s.now) {
		t.Fatalf("deadline %v, now %v", d, s.now)
	}
	s.do(Tick{})
	c.wantState("t", 1, "leader 1 epoch 1 isr [1]") // out of sync, so it cannot lead
	for p := int32(1); p <= 10; p++ {
		old := s.m.term.partition("t", p)
		req := alterRequest(1, c.broker(1).epoch, topicID("t"), p, old.state.leaderEpoch, old.version, 1, 2)
		s.do(AlterPartition{Request: req, Reply: func(resp *kmsg.AlterPartitionResponse) {
			if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Fatalf("partition %d: %d", p, code)
			}
		}})
	}
	s.answer()
	s.do(Tick{}) // not due
	c.wantState("t", 1, "leader 1 epoch 1 isr [1 2]")
	s.now = s.now.Add(300 * time.Second)
	s.do(Tick{})
	s.answer()
	for p := int32(1); p <= 10; p++ {
		c.wantState("t", p, "leader 2 epoch 2 isr [1 2]")
	}
	// One of ten is not more than 10 %.
	s.m.term.partition("t", 1).state.leader = 1
	s.now = s.now.Add(300 * time.Second)
	s.do(Tick{})
	if len(s.sent) > 0 {
		t.Error("one partition of ten was moved")
	}
}

func TestRefusedDeletionIsTriedAgain(t *testing.T) {
	c := newCluster(t)
	s := newStepper(c, 1)
	c.createTopic("t", []int32{1})
	s.changed(zkmeta.BrokersTopics)
	tp := zkmeta.TP{Topic: "t"}
	c.broker(1).refuseStop[tp] = 56
	c.create("/admin/delete_topics/t", nil)
	s.changed(zkmeta.DeleteTopics)
	if !c.exists("/admin/delete_topics/t") {
		t.Fatal("the topic went though its replica did not")
	}
	if got := s.m.Deadline(); !got.Equal(s.now.Add(deletionRetry)) {
		t.Errorf("deadline %v, now %v", got, s.now)
	}
	if st := s.m.stats(); st.TopicsToDelete != 1 || st.ReplicasToDelete != 1 || st.Topics != 1 {
		t.Errorf("stats %+v", st)
	}
	delete(c.broker(1).refuseStop, tp)
	s.now = s.now.Add(deletionRetry - 1)
	s.do(Tick{})
	s.answer()
	if !c.exists("/admin/delete_topics/t") {
		t.Error("tried too early")
	}
	s.now = s.now.Add(1)
	s.do(Tick{})
	s.answer()
	if c.exists("/admin/delete_topics/t") || c.exists(zkmeta.Topic("t")) {
		t.Error("not tried again")
	}
}

func TestStats(t *testing.T) {
	c := newCluster(t)
	s := newStepper(c, 1)
	c.register(2)
	s.changed(zkmeta.BrokersIDs)
	c.createTopic("t", []int32{1}, []int32{2, 1}, []int32{2})
	s.changed(zkmeta.BrokersTopics)
	c.kill(c.broker(2))
	s.changed(zkmeta.BrokersIDs)
	want := Stats{Active: true, ActiveBrokers: 1, Topics: 1, Partitions: 3, OfflinePartitions: 1, PreferredReplicaImbalance: 2}
	var got Stats
	s.do(ReadStats{Reply: func(st Stats) { got = st }})
	if got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

// Order on each connection: LeaderAndIsr, UpdateMetadata, StopReplica; and nothing but one of each per event.
func TestRequestsAreBatched(t *testing.T) {
	c := newCluster(t)
	s := newStepper(c, 1)
	c.register(2)
	s.changed(zkmeta.BrokersIDs)
	c.createTopic("t", repeat(200, 1, 2)...)
	c.createTopic("u", repeat(200, 2, 1)...)
	s.sent = nil
	s.do(ZNodeChanged{Path: zkmeta.BrokersTopics})
	var got []string
	for _, send := range s.sent {
		got = append(got, fmt.Sprintf("%T to %d", send.Request, send.Broker))
	}
	want := "[*kmsg.LeaderAndISRRequest to 1 *kmsg.LeaderAndISRRequest to 2 *kmsg.UpdateMetadataRequest to 1 *kmsg.UpdateMetadataRequest to 2]"
	if fmt.Sprint(got) != want {
		t.Errorf("sent %v, want %v", got, want)
	}
}

// States that somebody changed are read again, and the decision is made anew.
func TestElectionAfterAVersionConflict(t *testing.T) {
	c := newCluster(t)
	s := newStepper(c, 1)
	c.register(2)
	c.register(3)
	s.changed(zkmeta.BrokersIDs)
	c.createTopic("t", []int32{3, 2, 1}, []int32{3, 1})
	s.changed(zkmeta.BrokersTopics)
	st := zkmeta.PartitionState{Leader: 3, ISR: []int32{3, 1}, ControllerEpoch: 1}
	c.set(zkmeta.TopicPartitionState("t", 0), st.Encode())
	c.kill(c.broker(3))
	s.changed(zkmeta.BrokersIDs)
	c.wantState("t", 0, "leader 1 epoch 1 isr [1]")
	c.wantState("t", 1, "leader 1 epoch 1 isr [1]")
	c.wantToldState("t", 0, 1, 2)
}

// Partitions added at the moment of a reassignment are not lost with the controller's write.
func TestReassignmentMeetsGrowth(t *testing.T) {
	c := newCluster(t)
	s := newStepper(c, 1)
	c.register(2)
	s.changed(zkmeta.BrokersIDs)
	c.createTopic("t", []int32{1})
	s.changed(zkmeta.BrokersTopics)
	c.set(zkmeta.Topic("t"), assignmentJSON("t", []int32{1}, []int32{2}))
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	rt.Topic = "t"
	rt.Partitions = []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 0, Replicas: []int32{2}}}
	req.Topics = append(req.Topics, rt)
	s.do(AlterReassignments{Request: req, Reply: func(resp *kmsg.AlterPartitionAssignmentsResponse) {
		if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
			t.Errorf("code %d", code)
		}
	}})
	s.answer()
	want := assignment("t", []int32{2, 1}, []int32{2})
	want.Adding, want.Removing = map[int32][]int32{0: {2}}, map[int32][]int32{0: {1}}
	if got := c.get(zkmeta.Topic("t")); got != string(want.Encode()) {
		t.Errorf("topic znode %s, want %s", got, want.Encode())
	}
	c.wantState("t", 1, "leader 2 epoch 0 isr [2]")
	c.wantToldState("t", 0, 1, 2)
	c.wantToldState("t", 1, 2)
}
