package txn

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"ottla/coordinator/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a coordinator over an in-memory log with one partition, and the brokers that it sends markers to.
type rig struct {
	t   *testing.T
	log *logtest.Log
	c   *Coordinator

	mu      sync.Mutex
	nextID  int64
	leaders map[TopicPartition]int32 // 1 if not in it; -2: not known to this broker
	deleted map[TopicPartition]bool
	answer  func(broker int32, req *kmsg.WriteTxnMarkersRequest, tp TopicPartition) int16
	written []marked
}

// marked is a marker that a broker was given.
type marked struct {
	broker           int32
	tp               TopicPartition
	producerID       int64
	epoch            int16
	commit           bool
	coordinatorEpoch int32
	code             int16
	version          Version
}

func newRig(t *testing.T, log *logtest.Log, cfg Config) *rig {
	cfg.Log = zerolog.Nop()
	r := &rig{t: t, log: log, nextID: 1000, leaders: make(map[TopicPartition]int32), deleted: make(map[TopicPartition]bool)}
	r.c = New(cfg, log, Deps{
		Partitions: func() int32 { return 1 },
		NextProducerID: func(context.Context) (int64, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.nextID++
			return r.nextID, nil
		},
		Leader: func(topic string, partition int32) (int32, bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if b, ok := r.leaders[TopicPartition{topic, partition}]; ok {
				return b, b != -2
			}
			return 1, true
		},
		Deleted: func(_ context.Context, topic string, partition int32) (bool, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.deleted[TopicPartition{topic, partition}], nil
		},
		SendMarkers: r.send,
	})
	return r
}

func (r *rig) send(_ context.Context, broker int32, req *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	resp := &kmsg.WriteTxnMarkersResponse{Version: req.Version}
	for _, m := range req.Markers {
		rm := kmsg.WriteTxnMarkersResponseMarker{ProducerID: m.ProducerID}
		for _, t := range m.Topics {
			rt := kmsg.WriteTxnMarkersResponseMarkerTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				tp := TopicPartition{t.Topic, p}
				var code int16
				if r.answer != nil {
					code = r.answer(broker, req, tp)
				}
				r.written = append(r.written, marked{broker, tp, m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch, code, Version(m.TransactionVersion)})
				rt.Partitions = append(rt.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: p, ErrorCode: code})
			}
			rm.Topics = append(rm.Topics, rt)
		}
		resp.Markers = append(resp.Markers, rm)
	}
	return resp, nil
}

func (r *rig) markers() []marked {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.written
	r.written = nil
	return m
}

func (r *rig) elect(epoch int32) *rig {
	r.c.Elected(0, epoch)
	synctest.Wait()
	return r
}

// bubble runs f with a loaded coordinator in virtual time.
func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), Config{}).elect(1)
		defer r.c.Close()
		f(t, r)
	})
}

func (r *rig) init(id string) (int64, int16) {
	r.t.Helper()
	pid, epoch, code := r.c.InitProducerID(r.t.Context(), id, 60_000, -1, -1)
	if code != 0 {
		r.t.Fatalf("InitProducerId of %s: error %d", id, code)
	}
	return pid, epoch
}

func (r *rig) add(id string, pid int64, epoch int16, tps ...TopicPartition) int16 {
	return r.c.AddPartitions(r.t.Context(), id, pid, epoch, tps, V0)
}

// add2 is what a leader asks for.
func (r *rig) add2(id string, pid int64, epoch int16, tps ...TopicPartition) int16 {
	return r.c.AddPartitions(r.t.Context(), id, pid, epoch, tps, V2)
}

func (r *rig) end(id string, pid int64, epoch int16, commit bool) int16 {
	_, _, code := r.c.End(r.t.Context(), id, pid, epoch, commit, V0)
	return code
}

// end2 ends with V2.
func (r *rig) end2(id string, pid int64, epoch int16, commit bool) (nextID int64, nextEpoch, code int16) {
	return r.c.End(r.t.Context(), id, pid, epoch, commit, V2)
}

func (r *rig) want(what string, got, want int16) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: error %d, want %d", what, got, want)
	}
}

func (r *rig) wantState(id, state string) {
	r.t.Helper()
	synctest.Wait()
	if d := r.c.Describe(r.t.Context(), id); d.State != state {
		r.t.Errorf("%s is %q (error %d), want %s", id, d.State, d.ErrorCode, state)
	}
}
