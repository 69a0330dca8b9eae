package txn

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// client returns a client of brokers for the length of the test.
func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(splitAddrs(addr)...), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// topic creates a topic for the length of the test.
func topic(t *testing.T, addr string, partitions int32) string {
	t.Helper()
	adm := kadm.NewClient(client(t, addr))
	name := fmt.Sprintf("txn-%x", rand.Uint64())
	if _, err := adm.CreateTopic(t.Context(), partitions, 1, nil, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { adm.DeleteTopics(context.Background(), name) })
	return name
}

// writeUnannounced appends a transactional batch that no coordinator was told of: nothing will ever end it.
func writeUnannounced(t *testing.T, addr, topic, id string) (producer int64, start int64) {
	t.Helper()
	cl := client(t, addr, kgo.MaxVersions(kversion.V3_8_0())) // a Produce of version 12 would announce it
	init := kmsg.NewPtrInitProducerIDRequest()
	init.TransactionalID, init.TransactionTimeoutMillis, init.ProducerID, init.ProducerEpoch = &id, 60_000, -1, -1
	var got *kmsg.InitProducerIDResponse
	wait(t, "the coordinator gives a producer id", func() error {
		resp, err := init.RequestWith(t.Context(), cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		got = resp
		return err
	})
	rec := kmsg.Record{Value: []byte("never ended")}
	rec.Length = int32(len(rec.AppendTo(nil))) - 1
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, Attributes: 1 << 4, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: got.ProducerID, ProducerEpoch: got.ProducerEpoch, NumRecords: 1, Records: rec.AppendTo(nil)}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis, req.TransactionID = 9, -1, 30_000, &id
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = raw
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	wait(t, "the batch is written", func() error {
		resp, err := cl.Broker(1).Request(t.Context(), req)
		if err != nil {
			return err
		}
		p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		start = p.BaseOffset
		return kerr.ErrorForCode(p.ErrorCode)
	})
	return got.ProducerID, start
}

// wait repeats what until it succeeds.
func wait(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
