package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// TestLegacyOffsetsAreZnodes: version 0 of OffsetCommit and OffsetFetch works on the metadata store, on either kind of it, and leaves
// what old consumers keep there alone.
func TestLegacyOffsetsAreZnodes(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { testLegacyOffsets(t) })
	t.Run("ZooKeeper", func(t *testing.T) { testLegacyOffsets(t, "zookeeper.connect="+ensembleAt(newTree(t)), "broker.id=1") })
}

func ensembleAt(chroot string) string { return zooKeeper.Addr + chroot }

func testLegacyOffsets(t *testing.T, sets ...string) {
	dir := t.TempDir()
	b := start(t, dir, sets...)
	b.create("t", 2, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const owner = zkmeta.ConsumersRoot + "/g/owners/t/0"
	if err := zkmeta.CreateRecursive(ctx, b.Session(), owner, []byte("g_host-1-0")); err != nil {
		t.Fatal(err)
	}
	c := dial(t, b.addr)
	commit := func(topic string, partition int32, offset int64, metadata string) int16 {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group = "g"
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: partition, Offset: offset, Metadata: &metadata}}}}
		c.send(req)
		var resp kmsg.OffsetCommitResponse
		c.receive(&resp)
		return resp.Topics[0].Partitions[0].ErrorCode
	}
	fetch := func(partition int32) (int64, int16) {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group = "g"
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{partition}}}
		c.send(req)
		var resp kmsg.OffsetFetchResponse
		c.receive(&resp)
		return resp.Topics[0].Partitions[0].Offset, resp.Topics[0].Partitions[0].ErrorCode
	}
	for _, tt := range []struct {
		name, topic, metadata string
		partition             int32
		code                  int16
	}{
		{"a new node", "t", "", 0, 0},
		{"the longest metadata, in letters of two bytes", "t", strings.Repeat("é", 4096), 0, 0},
		{"longer metadata", "t", strings.Repeat("é", 4097), 1, kerr.OffsetMetadataTooLarge.Code},
		{"an unknown topic", "u", "", 0, kerr.UnknownTopicOrPartition.Code},
		{"an unknown partition", "t", "", 2, kerr.UnknownTopicOrPartition.Code},
	} {
		if code := commit(tt.topic, tt.partition, 42, tt.metadata); code != tt.code {
			t.Errorf("%s: error %d, want %d", tt.name, code, tt.code)
		}
	}
	b.stop()
	b = start(t, dir, sets...)
	c = dial(t, b.addr)
	eventually(t, "the topic is known again", func() error {
		if offset, code := fetch(0); offset != 42 || code != 0 {
			return fmt.Errorf("offset %d, error %d", offset, code)
		}
		return nil
	})
	if offset, code := fetch(1); offset != -1 || code != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("partition 1: offset %d, error %d", offset, code)
	}
	for path, want := range map[string]string{zkmeta.ConsumerOffset("g", "t", 0): "42", owner: "g_host-1-0"} {
		if data, _, err := b.Session().Get(ctx, path, nil); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v, want %q", path, data, err, want)
		}
	}
}
