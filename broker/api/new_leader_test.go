package api

import (
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/metadata"
	"ottla/replication"
	"ottla/storage"
	"ottla/wire/batch"
)

type noMetadata struct{}

func (noMetadata) Contains(string, int32) bool                  { return true }
func (noMetadata) ContainsID([16]byte) (string, bool)           { return "", false }
func (noMetadata) Alive(int32) bool                             { return false }
func (noMetadata) Endpoint(int32) (string, int32, string, bool) { return "", 0, "", false }

// TestProduceNamesTheNewLeader loses the leadership under a produce that waits for its replicas.
func TestProduceNamesTheNewLeader(t *testing.T) {
	logs, err := storage.Open(t.Context(), storage.ManagerConfig{
		Dirs: []string{t.TempDir()}, BrokerID: 1, ClusterID: "test", Log: zerolog.Nop(), RecoveryThreadsPerDir: 1,
		LogConfig: func(string) storage.LogConfig { return storage.DefaultLogConfig() },
	})
	if err != nil {
		t.Fatal(err)
	}
	m := replication.New(replication.Config{BrokerID: 1, Log: zerolog.Nop()}, replication.Deps{
		Logs: logs, BrokerEpoch: func() int64 { return 1 }, Metadata: noMetadata{},
	})
	defer logs.Close(t.Context())
	defer m.Close()
	a := &API{Replication: m, Cache: metadata.New()}
	a.Cache.Update(&kmsg.UpdateMetadataRequest{Version: 8, LiveBrokers: []kmsg.UpdateMetadataRequestLiveBroker{{
		ID: 2, Endpoints: []kmsg.UpdateMetadataRequestLiveBrokerEndpoint{{ListenerName: "PUBLIC", Host: "two", Port: 92}},
	}}})
	lead := func(leader, epoch int32) {
		req := kmsg.NewPtrLeaderAndISRRequest()
		req.Version, req.BrokerEpoch = 7, 1
		s := kmsg.NewLeaderAndISRRequestTopicPartition()
		s.Leader, s.LeaderEpoch, s.ZKVersion, s.ISR, s.Replicas = leader, epoch, epoch, []int32{1, 2}, []int32{1, 2}
		req.TopicStates = []kmsg.LeaderAndISRRequestTopicState{{Topic: "t", PartitionStates: []kmsg.LeaderAndISRRequestTopicPartition{s}}}
		m.LeaderAndISR(req)
	}
	lead(1, 1)
	m.StopFollowing() // nobody to follow here
	for _, tt := range []struct {
		version int16
		epoch   int32 // of the new leader
		want    kmsg.ProduceResponseTopicPartitionCurrentLeader
		brokers int
	}{
		{9, 3, kmsg.NewProduceResponseTopicPartitionCurrentLeader(), 0},
		{10, 5, kmsg.ProduceResponseTopicPartitionCurrentLeader{LeaderID: 2, LeaderEpoch: 5}, 1},
	} {
		lead(1, tt.epoch-1)
		p, err := m.LeaderPartition("t", 0)
		if err != nil {
			t.Fatal(err)
		}
		app, err := p.Append(testBatch(t, batch.NewBuilderOptions(0)), replication.AppendOptions{Acks: -1, AnyEpoch: true})
		if err != nil {
			t.Fatal(err)
		}
		resp := &kmsg.ProduceResponse{Version: tt.version, Topics: []kmsg.ProduceResponseTopic{{Topic: "t", Partitions: []kmsg.ProduceResponseTopicPartition{kmsg.NewProduceResponseTopicPartition()}}}}
		w := m.WaitCommitted([]replication.Appended{app}, time.Minute)
		pending := pendingProduce{ProduceWait: w, api: a, listener: "PUBLIC", resp: resp, at: []*kmsg.ProduceResponseTopicPartition{&resp.Topics[0].Partitions[0]}}
		lead(2, tt.epoch)
		<-w.Done()
		pending.Finish()
		got := resp.Topics[0].Partitions[0]
		if got.ErrorCode != kerr.NotLeaderForPartition.Code || got.CurrentLeader.LeaderID != tt.want.LeaderID || got.CurrentLeader.LeaderEpoch != tt.want.LeaderEpoch {
			t.Errorf("version %d: error code %d, leader %+v, want %+v", tt.version, got.ErrorCode, got.CurrentLeader, tt.want)
		}
		if len(resp.Brokers) != tt.brokers || tt.brokers == 1 && (resp.Brokers[0].Host != "two" || resp.Brokers[0].Port != 92) {
			t.Errorf("version %d: brokers %+v", tt.version, resp.Brokers)
		}
	}
}
