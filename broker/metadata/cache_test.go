package metadata

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func update(states ...kmsg.UpdateMetadataRequestTopicState) *kmsg.UpdateMetadataRequest {
	return &kmsg.UpdateMetadataRequest{Version: 8, ControllerID: 1, TopicStates: states}
}

func state(topic string, id byte, leaders ...int32) kmsg.UpdateMetadataRequestTopicState {
	s := kmsg.UpdateMetadataRequestTopicState{Topic: topic, TopicID: [16]byte{id}}
	for i, l := range leaders {
		s.PartitionStates = append(s.PartitionStates, kmsg.UpdateMetadataRequestTopicPartition{
			Partition: int32(i), Leader: l, Replicas: []int32{1}, ISR: []int32{1},
		})
	}
	return s
}

func TestUpdateMergesPartitionsAndReplacesBrokers(t *testing.T) {
	c := New()
	c.Update(update(state("a", 1, 1, 1), state("b", 2, 1)))
	before := c.Load()
	c.Update(update(state("a", 1, 2)))
	s := c.Load()
	if p, ok := s.Partition("a", 0); !ok || p.Leader != 2 {
		t.Errorf("a-0 is %+v, %v; want leader 2", p, ok)
	}
	if p, ok := s.Partition("a", 1); !ok || p.Leader != 1 {
		t.Errorf("a-1 is %+v, %v; want it kept", p, ok)
	}
	if p, _ := before.Partition("a", 0); p.Leader != 1 {
		t.Error("an update changed a published snapshot")
	}
	if s.IDs[[16]byte{2}] == nil || s.IDs[[16]byte{1}].Partitions[0].Leader != 2 {
		t.Error("topics are not found by id")
	}
}

func TestDeletedTopicIsForgotten(t *testing.T) {
	c := New()
	c.Update(update(state("a", 1, 1, 1)))
	if d, _ := c.Update(update(state("a", 1, LeaderDuringDelete))); len(d) != 0 {
		t.Errorf("deleted %v with a partition left", d)
	}
	if d, _ := c.Update(update(state("a", 1, LeaderDuringDelete, LeaderDuringDelete))); len(d) != 1 || d[0] != "a" {
		t.Errorf("deleted %v, want [a]", d)
	}
	if s := c.Load(); s.Topics["a"] != nil || s.IDs[[16]byte{1}] != nil {
		t.Error("a is still there")
	}
	if d, _ := c.Update(update(state("a", 1, LeaderDuringDelete))); len(d) != 0 {
		t.Errorf("deleted %v twice", d)
	}
}

func TestRecreatedTopicHasNewID(t *testing.T) {
	c := New()
	c.Update(update(state("a", 1, 1)))
	c.Update(update(state("a", 2, 1)))
	s := c.Load()
	if s.IDs[[16]byte{1}] != nil || s.IDs[[16]byte{2}] == nil {
		t.Error("the old id still finds the topic")
	}
}

func TestFlatVersionsAreRead(t *testing.T) {
	c := New()
	c.Update(&kmsg.UpdateMetadataRequest{
		Version: 2,
		PartitionStates: []kmsg.UpdateMetadataRequestTopicPartition{
			{Topic: "a", Partition: 1, Leader: 3, Replicas: []int32{3}},
		},
		LiveBrokers: []kmsg.UpdateMetadataRequestLiveBroker{{ID: 3, Endpoints: []kmsg.UpdateMetadataRequestLiveBrokerEndpoint{{Host: "h", Port: 9, SecurityProtocol: 1}}}},
	})
	s := c.Load()
	if p, ok := s.Partition("a", 1); !ok || p.Leader != 3 {
		t.Errorf("a-1 is %+v, %v", p, ok)
	}
	if _, ok := s.Partition("a", 0); ok {
		t.Error("a hole counts as a partition")
	}
	if e, ok := s.Endpoint(3, "SSL"); !ok || e.Port != 9 {
		t.Errorf("endpoint is %+v, %v", e, ok)
	}
}

func TestWaitSeesTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		done := make(chan *Snapshot)
		go func() {
			s, _ := c.Wait(t.Context(), func(s *Snapshot) bool { return s.Topics["a"] != nil })
			done <- s
		}()
		synctest.Wait()
		c.Update(update(state("b", 2, 1)))
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("woken with the condition unmet")
		default:
		}
		c.Update(update(state("a", 1, 1)))
		if s := <-done; s.Topics["a"] == nil {
			t.Error("the snapshot does not meet the condition")
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if _, err := c.Wait(ctx, func(*Snapshot) bool { return false }); err == nil {
			t.Error("no error after the context ended")
		}
	})
}

func TestUpdateTellsThatABrokerIsGone(t *testing.T) {
	c := New()
	for _, tt := range []struct {
		alive []int32
		want  bool
	}{{[]int32{1, 2}, false}, {[]int32{1, 2, 3}, false}, {[]int32{1, 3}, true}, {[]int32{1, 3}, false}, {[]int32{1, 2}, true}} {
		req := update()
		for _, id := range tt.alive {
			req.LiveBrokers = append(req.LiveBrokers, kmsg.UpdateMetadataRequestLiveBroker{ID: id})
		}
		if _, gone := c.Update(req); gone != tt.want {
			t.Errorf("brokers %v: gone %v, want %v", tt.alive, gone, tt.want)
		}
	}
}
