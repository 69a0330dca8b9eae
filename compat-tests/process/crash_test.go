package process

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

// acknowledged collects what the broker said it has: value by offset, for each partition.
type acknowledged struct {
	mu    sync.Mutex
	byOff map[int32]map[int64]uint64
	n     int
}

func (a *acknowledged) add(r *kgo.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byOff[r.Partition] == nil {
		a.byOff[r.Partition] = map[int64]uint64{}
	}
	a.byOff[r.Partition][r.Offset] = binary.BigEndian.Uint64(r.Value)
	a.n++
}

func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

const crashPartitions = 4

// TestKill produces with several producers, kills the broker with SIGKILL in the middle, starts it again (as often as
// rounds say) and reads everything: each acknowledged record is at its offset, and nobody reads a record twice.
// SIGKILL leaves the page cache, so nothing acknowledged may be missing, without any fsync.
func TestKill(t *testing.T) {
	for _, ensemble := range []bool{false, true} {
		name := "kill -9 while producing: every acknowledged record is there, standalone"
		if ensemble {
			name = "kill -9 while producing: every acknowledged record is there, with ZooKeeper"
		}
		t.Run(name, func(t *testing.T) {
			cfg := harness.Config{ID: 1, SessionTimeout: 4 * time.Second, Settings: []string{"log.segment.bytes=1048576", "num.partitions=4"}}
			if ensemble {
				cfg.ZooKeeper = harness.NewZooKeeper(t).Addr
			}
			rounds := 2
			if *long {
				rounds = 5
			}
			killAndCompare(t, harness.NewBroker(t, cfg), rounds)
		})
	}
}

func killAndCompare(t *testing.T, b *harness.Broker, rounds int) {
	t.Helper()
	admin := client(t, b)
	createTopic(t, admin, "crash", crashPartitions, nil)
	acked := &acknowledged{byOff: map[int32]map[int64]uint64{}}
	for round := range rounds {
		before := acked.count()
		ctx, stop := context.WithCancel(t.Context())
		var producers sync.WaitGroup
		for p := range 3 {
			producers.Go(func() { produceUntil(ctx, t, b.Addr, uint64(round)<<48|uint64(p)<<40, acked) })
		}
		waitFor(t, "20,000 acknowledged records in this round", func() bool { return acked.count() >= before+20_000 })
		if err := b.Kill(); err != nil {
			t.Fatal(err)
		}
		stop()
		producers.Wait()
		begin := time.Now()
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: %d acknowledged; started again in %v", round+1, acked.count(), time.Since(begin).Round(time.Millisecond))
	}

	read := readAll(t, b, acked)
	missing := 0
	for p, offs := range acked.byOff {
		for off, want := range offs {
			if got, there := read[p][off]; !there || got != want {
				if missing++; missing <= 5 {
					t.Errorf("partition %d, offset %d: acknowledged %016x, read %016x (there: %v)", p, off, want, got, there)
				}
			}
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d acknowledged records are lost", missing, acked.n)
	}
}

// produceUntil sends numbered records until ctx ends. Its records are idempotent: one that is sent again after an error
// has the same sequence number and must not be there twice.
func produceUntil(ctx context.Context, t *testing.T, addr string, first uint64, acked *acknowledged) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("crash"), kgo.ProducerLinger(2*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()), kgo.RecordDeliveryTimeout(20*time.Second))
	if err != nil {
		t.Error(err)
		return
	}
	defer cl.Close()
	for i := first; ctx.Err() == nil; i++ {
		value := binary.BigEndian.AppendUint64(make([]byte, 0, 100), i)
		cl.Produce(ctx, &kgo.Record{Value: append(value, make([]byte, 92)...)}, func(r *kgo.Record, err error) {
			if err == nil {
				acked.add(r)
			}
		})
	}
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// readAll reads every partition up to its high watermark and checks that offsets have no gaps and values no doubles.
func readAll(t *testing.T, b *harness.Broker, acked *acknowledged) map[int32]map[int64]uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ends := endOffsets(ctx, t, client(t, b))
	cl := client(t, b, kgo.ConsumeTopics("crash"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	read, seen := map[int32]map[int64]uint64{}, map[uint64]string{}
	left := int64(0)
	for p, end := range ends {
		read[p], left = map[int64]uint64{}, left+end
	}
	for left > 0 {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("%d records left: %v", left, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			left--
			value, at := binary.BigEndian.Uint64(r.Value), fmt.Sprintf("partition %d, offset %d", r.Partition, r.Offset)
			if want := int64(len(read[r.Partition])); r.Offset != want {
				t.Fatalf("%s: want offset %d", at, want)
			}
			if other, twice := seen[value]; twice {
				t.Errorf("record %016x is twice there: %s and %s", value, other, at)
			}
			read[r.Partition][r.Offset], seen[value] = value, at
		})
	}
	t.Logf("%d records read, %d acknowledged", len(seen), acked.n)
	return read
}

// endOffsets asks until every partition has a leader again: a broker answers Metadata before it has taken over all.
func endOffsets(ctx context.Context, t *testing.T, cl *kgo.Client) map[int32]int64 {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = "crash"
	for p := range int32(crashPartitions) {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	for {
		ends, err := map[int32]int64{}, error(nil)
		for _, shard := range cl.RequestSharded(ctx, req) {
			if err = errors.Join(err, shard.Err); shard.Err != nil {
				continue
			}
			for _, p := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
				err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
				ends[p.Partition] = p.Offset
			}
		}
		if err == nil {
			return ends
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the partitions do not come back: %v", err)
		}
	}
}

// TestRestart stops and starts a broker: records, groups' offsets and configurations are kept.
func TestRestart(t *testing.T) {
	for _, how := range []string{"SIGTERM", "SIGKILL"} {
		t.Run("records, committed offsets and configurations outlive "+how, func(t *testing.T) {
			b := harness.NewBroker(t, harness.Config{ID: 1, SessionTimeout: 4 * time.Second})
			cl := client(t, b, kgo.DefaultProduceTopic("kept"))
			createTopic(t, cl, "kept", 1, map[string]string{"retention.ms": "1234567890"})
			for i := range 100 {
				if err := cl.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprintf("record %d", i))).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			consumeGroup(t, b, 40, 0)
			if how == "SIGTERM" {
				if err := b.Stop(20 * time.Second); err != nil {
					t.Fatal(err)
				}
			} else if err := b.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
			consumeGroup(t, b, 60, 40)
			req := kmsg.NewPtrDescribeConfigsRequest()
			rr := kmsg.NewDescribeConfigsRequestResource()
			rr.ResourceType, rr.ResourceName, rr.ConfigNames = kmsg.ConfigResourceTypeTopic, "kept", []string{"retention.ms"}
			req.Resources = append(req.Resources, rr)
			resp, err := req.RequestWith(t.Context(), client(t, b))
			if err != nil {
				t.Fatal(err)
			}
			if v := resp.Resources[0].Configs[0].Value; v == nil || *v != "1234567890" {
				t.Fatalf("retention.ms: %v", v)
			}
		})
	}
}

// consumeGroup reads n records as a member of a group, the first at the given offset, and commits after them.
func consumeGroup(t *testing.T, b *harness.Broker, n int, first int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("kept"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	next := first
	for next < first+int64(n) {
		fs := cl.PollRecords(ctx, int(first)+n-int(next))
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if r.Offset != next || !strings.HasSuffix(string(r.Value), fmt.Sprintf(" %d", next)) {
				t.Fatalf("offset %d with %q, want offset %d", r.Offset, r.Value, next)
			}
			next++
			if err := cl.CommitRecords(ctx, r); err != nil {
				t.Fatal(err)
			}
		})
	}
}
