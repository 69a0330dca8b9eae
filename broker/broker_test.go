package broker_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestRecordsComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, t.TempDir())
			produce(t, b.client(kgo.ProducerBatchCompression(codec)), "t", 0, 1000)
			wantRecords(t, b, "t", 1000)
		})
	}
}

func TestRestartKeepsTopicsRecordsAndOffsets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, dir)
	b.create("t", 3, map[string]*string{"retention.ms": kadm.StringPtr("-1")})
	produce(t, b.client(), "t", 0, 100)
	g := b.client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	consume(t, g, 100)
	if err := g.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.Close()
	b.stop()

	b = start(t, dir)
	admin := kadm.NewClient(b.client())
	configs, err := admin.DescribeTopicConfigs(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs[0].Configs {
		if c.Key == "retention.ms" && *c.Value != "-1" {
			t.Errorf("retention.ms is %s after the restart", *c.Value)
		}
	}
	produce(t, b.client(), "t", 100, 110)
	var keys []string
	for _, r := range consume(t, b.client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t")), 10) {
		keys = append(keys, string(r.Key))
	}
	if len(keys) != 10 {
		t.Errorf("the group read %v, want the ten new records", keys)
	}
}

func TestGroupRebalancesBetweenMembers(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	b.create("t", 4, nil)
	assigned := make(chan int, 100)
	join := func() *kgo.Client {
		c := b.client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.Balancers(kgo.RangeBalancer()),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, a map[string][]int32) { assigned <- len(a["t"]) }))
		go func() {
			for c.PollFetches(t.Context()).Err() == nil {
			}
		}()
		return c
	}
	wait := func(want int) {
		t.Helper()
		for {
			select {
			case n := <-assigned:
				if n == want {
					return
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("no member was given %d partitions", want)
			}
		}
	}
	join()
	wait(4)
	second := join()
	wait(2)
	wait(2)
	second.Close()
	wait(4)
}

func TestTopicLifecycle(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	admin := kadm.NewClient(b.client())
	ctx := t.Context()
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, "t"); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("creating it twice: %v", err)
	}
	if _, err := admin.CreateTopic(ctx, 1, 3, nil, "u"); !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Errorf("three replicas on one broker: %v", err)
	}
	if r, err := admin.UpdatePartitions(ctx, 5, "t"); err != nil || r["t"].Err != nil {
		t.Fatal(err, r["t"].Err)
	}
	before, err := admin.ListTopics(ctx, "t")
	if err != nil || len(before["t"].Partitions) != 5 {
		t.Fatalf("%d partitions, %v", len(before["t"].Partitions), err)
	}
	produce(t, b.client(), "t", 0, 10)
	if r, err := admin.DeleteTopics(ctx, "t"); err != nil || r["t"].Err != nil {
		t.Fatal(err, r["t"].Err)
	}
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	admin = kadm.NewClient(b.client()) // the old client remembers metadata
	after, err := admin.ListTopics(ctx, "t")
	if err != nil || after["t"].ID == before["t"].ID {
		t.Errorf("the new topic has the id of the old one, %v", err)
	}
	ends, err := admin.ListEndOffsets(ctx, "t")
	if end, ok := ends.Lookup("t", 0); err != nil || !ok || end.Offset != 0 {
		t.Errorf("the new topic starts with %+v, %v", end, err)
	}
}

func TestTopicConfigTakesEffectWithoutRestart(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	b.create("t", 1, nil)
	admin := kadm.NewClient(b.client())
	big := &kgo.Record{Topic: "t", Value: bytes.Repeat([]byte("x"), 2000)}
	set := func(value string) {
		t.Helper()
		r, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &value}}, "t")
		if err != nil || r[0].Err != nil {
			t.Fatal(err, r[0].Err)
		}
	}
	// The change comes back by its notification: wait for it.
	produces := func(what string, ok func(error) bool) {
		t.Helper()
		c := b.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
		for deadline := time.Now().Add(10 * time.Second); ; {
			err := c.ProduceSync(t.Context(), big).FirstErr()
			if ok(err) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	set("1000")
	produces("too large", func(err error) bool { return errors.Is(err, kerr.MessageTooLarge) })
	set("5000")
	produces("small enough", func(err error) bool { return err == nil })
}

func TestDeleteRecordsMovesTheStart(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	produce(t, b.client(), "t", 0, 50)
	admin := kadm.NewClient(b.client())
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "t", Partition: 0, At: 20})
	if r, err := admin.DeleteRecords(t.Context(), offsets); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
	starts, err := admin.ListStartOffsets(t.Context(), "t")
	if s, _ := starts.Lookup("t", 0); err != nil || s.Offset != 20 {
		t.Errorf("the log starts at %d, %v", s.Offset, err)
	}
}
