package takeover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// set is a topic and what is done with it: by the broker that writes it first, and by each that takes it over.
type set struct {
	topic      string
	partitions int32
	configs    map[string]string
	fill, goOn func(s *session, topic string)
}

const (
	tornTopic    = "torn"
	deletedTopic = "deleted-records"
	deletedTo    = 150
	group        = "readers"
)

var sets = []set{
	codecSet("none", kgo.NoCompression()),
	codecSet("gzip", kgo.GzipCompression()),
	codecSet("snappy", kgo.SnappyCompression()),
	codecSet("lz4", kgo.Lz4Compression()),
	codecSet("zstd", kgo.ZstdCompression()),
	{"partitions", 3, nil, func(s *session, topic string) { s.produce(mixed(topic, 3, 900)) }, func(s *session, topic string) { s.produce(mixed(topic, 3, 30)) }},
	{"not-idempotent", 1, nil, plain, plain},
	{"append-time", 1, map[string]string{"message.timestamp.type": "LogAppendTime"}, plain, plain},
	{deletedTopic, 1, nil, fillDeleted, plain},
	{"compacted", 1, compaction, compact, compact},
	{"compacted-idempotent", 1, compaction, compact, compact},
	{"sequences", 1, nil, sequences, sequences},
	{"transactions", 1, nil, transactions, transactions},
	{tornTopic, 1, nil, plain, plain},
	{"committed", 2, nil, commit, commit},
	{"empty", 2, nil, func(*session, string) {}, func(*session, string) {}},
}

var compaction = map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.bytes": "8192"}

// isCompacted says that a topic has holes, and segments without records. Two things are then Kafka's alone: its lookups by time end with
// such a segment, because it is young, and find nothing; its DumpLogSegments misses the records of batches that were emptied and are kept for
// their sequence numbers.
func isCompacted(topic string) bool { return strings.HasPrefix(topic, "compacted") }

func codecSet(name string, codec kgo.CompressionCodec) set {
	return set{
		"codec-" + name, 1, nil,
		func(s *session, topic string) { s.produce(mixed(topic, 1, 500), kgo.ProducerBatchCompression(codec)) },
		func(s *session, topic string) { s.produce(mixed(topic, 1, 20), kgo.ProducerBatchCompression(codec)) },
	}
}

// mixed returns records with and without keys, values and headers, their times going up and down.
func mixed(topic string, partitions, n int) []*kgo.Record {
	var out []*kgo.Record
	for i := range n {
		r := &kgo.Record{
			Topic: topic, Partition: int32(i % partitions), Timestamp: start.Add(time.Duration(i+i%7*3) * time.Second),
			Key: fmt.Appendf(nil, "key %d", i), Value: fmt.Appendf(nil, "value %d %s", i, strings.Repeat("abcdef", i%40)),
		}
		switch i % 5 {
		case 0:
			r.Key = nil
		case 1:
			r.Value = nil
		case 2:
			r.Key, r.Value = []byte{}, []byte{}
		case 3:
			r.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte("x")}, {Key: "", Value: nil}}
		}
		out = append(out, r)
	}
	return out
}

func plain(s *session, topic string) {
	s.t.Helper()
	s.produce(mixed(topic, 1, 200), kgo.DisableIdempotentWrite())
}

// transactions commits and aborts, with the same transactional id on every broker, which has to know the last epoch from __transaction_state.
func transactions(s *session, topic string) {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.b.Addr), kgo.TransactionalID("takeover"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(3000), kgo.ProducerLinger(time.Millisecond), kgo.MaxBufferedRecords(200))
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := cl.BeginTransaction(); err != nil {
			s.t.Fatal(err)
		}
		if err := cl.ProduceSync(s.ctx, mixed(topic, 1, 150)...).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
		if err := cl.EndTransaction(s.ctx, end); err != nil {
			s.t.Fatal(err)
		}
	}
}

func fillDeleted(s *session, topic string) {
	s.t.Helper()
	s.produce(mixed(topic, 1, 400))
	o := kadm.Offsets{}
	o.Add(kadm.Offset{Topic: topic, At: deletedTo})
	resp, err := s.adm.DeleteRecords(s.ctx, o)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// compact writes few keys often, and a tombstone, and waits until the cleaner has been there.
func compact(s *session, topic string) {
	s.t.Helper()
	var records []*kgo.Record
	for i := range 1000 {
		r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key %d", i%23), Value: fmt.Appendf(nil, "%d %s", i, strings.Repeat("v", 50)), Timestamp: start.Add(time.Duration(i) * time.Second)}
		if i%23 == 7 && i > 500 {
			r.Value = nil
		}
		records = append(records, r)
	}
	if topic == "compacted" {
		s.produce(records, kgo.DisableIdempotentWrite())
	} else {
		s.produce(records)
	}
	s.await("compaction", func() error { return s.compacted(topic) })
}

// compacted succeeds when the cleaner has gone as far as it does, up to the active segment: then the log stays as it is.
func (s *session) compacted(topic string) error {
	data := filepath.Join(s.b.Dir(), "data")
	logs, err := filepath.Glob(filepath.Join(data, topic+"-0", "*.log"))
	if err != nil || len(logs) < 2 {
		return fmt.Errorf("segments %v, %v", logs, err)
	}
	active := strings.TrimLeft(strings.TrimSuffix(filepath.Base(logs[len(logs)-1]), ".log"), "0")
	p, err := os.ReadFile(filepath.Join(data, "cleaner-offset-checkpoint"))
	if err == nil && !strings.Contains(string(p), fmt.Sprintf("\n%s 0 %s\n", topic, active)) {
		err = fmt.Errorf("the active segment begins at %s, the checkpoint is %q", active, p)
	}
	return err
}

// commit writes records and commits offsets of a group, with an epoch and with metadata.
func commit(s *session, topic string) {
	s.t.Helper()
	s.produce(mixed(topic, 2, 40))
	end := s.log(topic, 0).end
	for at := int64(1); at <= end; at += 7 {
		o := kadm.Offsets{}
		o.Add(kadm.Offset{Topic: topic, Partition: 0, At: at, LeaderEpoch: 0, Metadata: fmt.Sprintf("up to %d", at)})
		o.Add(kadm.Offset{Topic: topic, Partition: 1, At: at / 2, LeaderEpoch: -1})
		s.await("a commit", func() error { return s.adm.CommitAllOffsets(s.ctx, group, o) })
	}
}
