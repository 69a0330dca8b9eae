package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// goldenFrames are frames that Kafka 3.9.2 brokers and their clients exchanged, one for each API, version and direction.
func goldenFrames(t *testing.T, direction string, f func(t *testing.T, key, version int16, frame []byte)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "frames", "*."+direction+".bin"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d frames, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := binary.BigEndian.Uint32(b); int(n) != len(b)-4 {
				t.Fatalf("length %d of %d bytes", n, len(b))
			}
			var key, version int16
			if _, err := fmt.Sscanf(filepath.Base(file), "k%02d-v%02d", &key, &version); err != nil {
				t.Fatal(err)
			}
			f(t, key, version, b[4:])
		})
	}
}

func TestGoldenRequests(t *testing.T) {
	goldenFrames(t, "req", func(t *testing.T, key, version int16, frame []byte) {
		h, body, err := ParseRequestHeader(frame)
		if err != nil || h.Key != key || h.Version != version {
			t.Fatalf("header %+v, %v", h, err)
		}
		if key == keyApiVersions && version > 4 {
			return // only its header matters
		}
		if err := CheckCounts(key, version, body); err != nil {
			t.Fatal(err)
		}
		req, err := ReadRequest(key, version, body, false)
		if err != nil {
			t.Fatal(err)
		}
		headerVersion := requestHeaderVersion(key, version, req.IsFlexible())
		again := appendRequestBody(appendRequestHeader(nil, h, false, headerVersion), req)
		if !bytes.Equal(again, frame) {
			t.Errorf("encodes to\n%x, was\n%x", again, frame)
		}
		if s, ok := req.(*kmsg.StopReplicaRequest); ok && version == 4 && (s.IsKRaftController || s.ControllerEpoch == 0 || s.ControllerEpoch > 100) {
			t.Errorf("controller epoch %d, KRaft %v", s.ControllerEpoch, s.IsKRaftController)
		}
	})
}

func TestGoldenResponses(t *testing.T) {
	goldenFrames(t, "resp", func(t *testing.T, key, version int16, frame []byte) {
		flexible := isFlexible(key, version)
		id, body, err := parseResponseHeader(frame, key, flexible)
		if err != nil {
			t.Fatal(err)
		}
		resp := kmsg.ResponseForKey(key)
		resp.SetVersion(version)
		if err := readResponse(resp, body); err != nil {
			t.Fatal(err)
		}
		h := Header{Key: key, Version: resp.GetVersion(), CorrelationID: id}
		if f, ok := resp.(*kmsg.FetchResponse); ok {
			e := fetchEncoder{}
			if err := e.encode(h, fromKmsg(f)); err != nil {
				t.Fatal(err)
			}
			if again := e.out[4:]; len(e.cuts) == 0 && !bytes.Equal(again, frame) {
				t.Errorf("our encoder gives\n%x, was\n%x", again, frame)
			}
		}
		again := appendAnswer(nil, h, resp, nil)
		if !bytes.Equal(again[4:], frame) {
			t.Errorf("encodes to\n%x, was\n%x", again[4:], frame)
		}
	})
}

// fromKmsg turns a response into one of ours.
func fromKmsg(f *kmsg.FetchResponse) *FetchResponse {
	out := &FetchResponse{ThrottleMillis: f.ThrottleMillis, ErrorCode: f.ErrorCode, SessionID: f.SessionID}
	for _, t := range f.Topics {
		topic := FetchTopic{Name: t.Topic, ID: t.TopicID}
		for _, p := range t.Partitions {
			part := FetchPartition{Partition: p.Partition, ErrorCode: p.ErrorCode, HighWatermark: p.HighWatermark, LastStableOffset: p.LastStableOffset,
				LogStartOffset: p.LogStartOffset, PreferredReplica: p.PreferredReadReplica, Bytes: p.RecordBatches}
			if p.AbortedTransactions != nil {
				part.Aborted = []AbortedTxn{}
			}
			for _, a := range p.AbortedTransactions {
				part.Aborted = append(part.Aborted, AbortedTxn{a.ProducerID, a.FirstOffset})
			}
			if p.DivergingEpoch.Epoch != -1 {
				part.Diverging = &EpochEndOffset{p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset}
			}
			if p.CurrentLeader.LeaderID != -1 {
				part.CurrentLeader = &LeaderIDEpoch{p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch}
			}
			topic.Partitions = append(topic.Partitions, part)
		}
		out.Topics = append(out.Topics, topic)
	}
	for _, b := range f.Brokers {
		out.NodeEndpoints = append(out.NodeEndpoints, FetchNode{b.NodeID, b.Host, b.Port, b.Rack})
	}
	return out
}
