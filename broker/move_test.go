package broker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// twoDirs is the setting of two log directories, and their paths.
func twoDirs(dir string) (set, a, b string) {
	a, b = filepath.Join(dir, "a"), filepath.Join(dir, "b")
	return "log.dirs=" + a + "," + b, a, b
}

// where lists the directories of a partition on a broker, that of a future replica with its lag.
func (r *running) where(topic string, partition int32) (dir, future string, lag int64) {
	r.t.Helper()
	all, err := r.admin().DescribeBrokerLogDirs(r.t.Context(), r.ID(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	all.Each(func(d kadm.DescribedLogDir) {
		p, ok := d.Topics.Lookup(topic, partition)
		switch {
		case ok && p.IsFuture:
			future, lag = d.Dir, p.OffsetLag
		case ok:
			dir = d.Dir
		}
	})
	return dir, future, lag
}

// move asks a broker to move a partition and returns the error of the partition.
func (r *running) move(topic string, partition int32, dir string) error {
	r.t.Helper()
	var req kadm.AlterReplicaLogDirsReq
	var set kadm.TopicsSet
	set.Add(topic, partition)
	req.Add(dir, set)
	resp, err := r.admin().AlterBrokerReplicaLogDirs(r.t.Context(), r.ID(), req)
	if err != nil {
		r.t.Fatal(err)
	}
	answer, ok := resp[topic][partition]
	if !ok {
		r.t.Fatalf("no answer for %s-%d: %v", topic, partition, resp)
	}
	return answer.Err
}

// movesTo waits until the replica is in a directory, and in no other.
func (r *running) movesTo(topic string, partition int32, dir string) {
	r.t.Helper()
	eventually(r.t, "the replica moves", func() error {
		if at, future, lag := r.where(topic, partition); at != dir || future != "" {
			return fmt.Errorf("%s-%d is in %s, future %q, lag %d", topic, partition, at, future, lag)
		}
		return nil
	})
}

// producing appends records one by one until stop is called, which returns how many were acknowledged.
func producing(t *testing.T, c *kgo.Client, topic string, from int) (stop func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	n := from
	var halt atomic.Bool
	go func() {
		defer close(done)
		for !halt.Load() {
			record := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", n), Value: fmt.Appendf(nil, "v%d", n)}
			if err := c.ProduceSync(ctx, record).FirstErr(); err != nil {
				t.Errorf("record %d: %v", n, err)
				return
			}
			n++
		}
	}()
	t.Cleanup(cancel)
	return func() int {
		halt.Store(true)
		<-done
		return n
	}
}

func (r *running) throttleMoves(bytesPerSec string) {
	r.t.Helper()
	changes := func() int { return strings.Count(r.logs.String(), `"message":"configuration changed"`) }
	before := changes()
	change := kadm.AlterConfig{Name: "replica.alter.log.dirs.io.max.bytes.per.second", Value: &bytesPerSec}
	resp, err := r.admin().AlterBrokerConfigs(r.t.Context(), []kadm.AlterConfig{change}, r.ID())
	if err == nil {
		err = resp[0].Err
	}
	if err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the throttle takes effect", func() error {
		if changes() == before {
			return errors.New("no configuration changed")
		}
		return nil
	})
}

func TestReplicaMovesWhileProducing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set, a, b := twoDirs(dir)
	r := start(t, dir, set, "log.flush.interval.messages=1", "num.replica.alter.log.dirs.threads=1")
	r.create("t", 1, nil)
	c := r.client()
	produce(t, c, "t", 0, 500)
	from, _, _ := r.where("t", 0)
	to := map[string]string{a: b, b: a}[from]
	if to == "" {
		t.Fatalf("t-0 is in %q", from)
	}

	// A byte a second: the move is under way for as long as we like.
	r.throttleMoves("1")
	stop := producing(t, c, "t", 500)
	if err := r.move("t", 0, to); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a future replica is described", func() error {
		at, future, lag := r.where("t", 0)
		if at != from || future != to || lag <= 0 {
			return fmt.Errorf("in %q, future %q, lag %d", at, future, lag)
		}
		return nil
	})
	if err := r.move("t", 0, from); err != nil { // which gives it up
		t.Fatal(err)
	}
	if at, future, _ := r.where("t", 0); at != from || future != "" {
		t.Errorf("after the move was given up: in %q, future %q", at, future)
	}
	r.throttleMoves(strconv.FormatInt(1<<40, 10))
	for range 3 { // there, back, and there again
		if err := r.move("t", 0, to); err != nil {
			t.Fatal(err)
		}
		r.movesTo("t", 0, to)
		from, to = to, from
	}
	n := stop()
	wantRecords(t, r, "t", n)
	if _, err := os.Stat(filepath.Join(from, "t-0", "00000000000000000000.log")); err != nil {
		t.Error(err)
	}
	r.stop()
	r = start(t, dir, set)
	if at, _, _ := r.where("t", 0); at != from {
		t.Errorf("after a restart in %q, want %q", at, from)
	}
	wantRecords(t, r, "t", n)
}

// A move that a stop interrupts goes on with the next start.
func TestMoveGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set, a, b := twoDirs(dir)
	r := start(t, dir, set)
	r.create("t", 1, nil)
	c := r.client()
	for i := range 20 { // as many batches, of which the throttle lets one through
		produce(t, c, "t", 25*i, 25*i+25)
	}
	from, _, _ := r.where("t", 0)
	to := map[string]string{a: b, b: a}[from]
	r.throttleMoves("1")
	if err := r.move("t", 0, to); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if left, err := filepath.Glob(filepath.Join(to, "t-0.*-future")); err != nil || len(left) != 1 {
		t.Fatalf("future directories: %v, %v", left, err)
	}
	r = start(t, dir, set)
	if at, future, _ := r.where("t", 0); at != from || future != to {
		t.Errorf("after a restart in %q, future %q; the throttle is still there", at, future)
	}
	r.throttleMoves("1000000")
	r.movesTo("t", 0, to)
	wantRecords(t, r, "t", 500)
}

func TestMoveAnswers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set, a, b := twoDirs(dir)
	r := start(t, dir, set)
	r.create("t", 1, nil)
	produce(t, r.client(), "t", 0, 1)
	for _, tc := range []struct {
		name, topic string
		partition   int32
		dir         string
		want        error
	}{
		{"a directory that is not configured", "t", 0, filepath.Join(dir, "c"), kerr.LogDirNotFound},
		{"a directory under another name", "t", 0, a + "/.", kerr.LogDirNotFound},
		{"an unknown topic", "none", 0, a, kerr.UnknownTopicOrPartition},
		{"an unknown topic and directory", "none", 0, "/nowhere", kerr.LogDirNotFound},
		{"an unknown partition", "t", 1, a, kerr.UnknownTopicOrPartition},
		{"a name without room for the suffix", strings.Repeat("x", 249), 0, a, kerr.InvalidTopicException},
	} {
		if err := r.move(tc.topic, tc.partition, tc.dir); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	for v := range int16(3) {
		conn := dial(t, r.addr)
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		req.Version = v
		req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{
			{Dir: "/nowhere", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "t", Partitions: []int32{0, 7}}}},
			{Dir: a, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "t", Partitions: []int32{7}}, {Topic: "u", Partitions: []int32{0}}}},
		}
		conn.send(req)
		resp := req.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
		conn.receive(resp)
		got := map[string]int16{}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				got[fmt.Sprint(topic.Topic, p.Partition)] = p.ErrorCode
			}
		}
		if want := fmt.Sprint(map[string]int16{"t0": kerr.LogDirNotFound.Code, "t7": 3, "u0": 3}); fmt.Sprint(got) != want {
			t.Errorf("version %d: %v, want %s", v, got, want)
		}
	}
	// Where they were told to go before they were there.
	for p := range int32(4) {
		if err := r.move("later", p, b); !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Errorf("a topic that is not there yet: %v", err)
		}
	}
	r.create("later", 4, nil)
	for p := range int32(4) {
		if at, _, _ := r.where("later", p); at != b {
			t.Errorf("later-%d was made in %q", p, at)
		}
	}
}

// A deletion takes the future replica along.
func TestTopicDeletedWhileItMoves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set, a, b := twoDirs(dir)
	r := start(t, dir, set)
	r.create("t", 1, nil)
	produce(t, r.client(), "t", 0, 100)
	from, _, _ := r.where("t", 0)
	r.throttleMoves("1")
	if err := r.move("t", 0, map[string]string{a: b, b: a}[from]); err != nil {
		t.Fatal(err)
	}
	if _, err := r.admin().DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{a, b} {
		if left, _ := filepath.Glob(filepath.Join(d, "t-0*")); len(left) != 1 || !strings.HasSuffix(left[0], "-delete") {
			t.Errorf("left in %s: %v", d, left)
		}
	}
	r.create("t", 1, nil)
	produce(t, r.client(), "t", 0, 10)
	wantRecords(t, r, "t", 10)
}

// Leader and followers of a partition move, all at once, while it is written to.
func TestEveryReplicaMovesAtOnce(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	var brokers []*running
	var sets []string
	for id := 1; id <= 3; id++ {
		dir := t.TempDir()
		set, _, _ := twoDirs(dir)
		sets = append(sets, set)
		brokers = append(brokers, start(t, dir, beside(zooKeeper.Addr, chroot, id, set, "min.insync.replicas=2")...))
	}
	threeBrokers(t, brokers[0])
	if _, err := brokers[0].admin().CreateTopic(t.Context(), 3, 3, nil, "t"); err != nil {
		t.Fatal(err)
	}
	c := brokers[0].client(kgo.SeedBrokers(brokers[0].addr, brokers[1].addr, brokers[2].addr), kgo.RequiredAcks(kgo.AllISRAcks()))
	produce(t, c, "t", 0, 300)
	stop := producing(t, c, "t", 300)
	type replica struct {
		broker    *running
		partition int32
	}
	to := make(map[replica]string)
	for i, r := range brokers {
		_, a, b := twoDirs(r.dir)
		for p := range int32(3) {
			at, _, _ := r.where("t", p)
			to[replica{r, p}] = map[string]string{a: b, b: a}[at]
			if err := r.move("t", p, to[replica{r, p}]); err != nil {
				t.Fatalf("broker %d: %v", i+1, err)
			}
		}
	}
	for m, dir := range to {
		m.broker.movesTo("t", m.partition, dir)
	}
	// The one that comes back reads what the move left, and follows again.
	brokers[2].stop()
	brokers[2] = start(t, brokers[2].dir, beside(zooKeeper.Addr, chroot, 3, sets[2])...)
	eventually(t, "full ISRs", func() error {
		m, err := brokers[2].admin().ListTopics(t.Context(), "t")
		if err != nil {
			return err
		}
		for _, p := range m["t"].Partitions.Sorted() {
			if len(p.ISR) != 3 {
				return fmt.Errorf("t-%d has ISR %v", p.Partition, p.ISR)
			}
		}
		return nil
	})
	n := stop()
	wantRecords(t, brokers[2], "t", n)
	for m, dir := range to {
		if m.broker.ID() == 3 {
			m.broker = brokers[2]
		}
		if at, _, _ := m.broker.where("t", m.partition); at != dir {
			t.Errorf("broker %d: t-%d is in %q, want %q", m.broker.ID(), m.partition, at, dir)
		}
	}
	// All replicas are the same, byte for byte.
	sizes := func() map[int32]map[int64]bool {
		sizes := make(map[int32]map[int64]bool)
		all, err := brokers[0].admin().DescribeAllLogDirs(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		all.Each(func(d kadm.DescribedLogDir) {
			for _, p := range d.Topics["t"] {
				if sizes[p.Partition] == nil {
					sizes[p.Partition] = make(map[int64]bool)
				}
				sizes[p.Partition][p.Size] = true
			}
		})
		return sizes
	}
	eventually(t, "equal sizes", func() error {
		for p, s := range sizes() {
			if len(s) != 1 {
				return fmt.Errorf("t-%d: %v", p, s)
			}
		}
		return nil
	})
}

func threeBrokers(t *testing.T, r *running) {
	t.Helper()
	eventually(t, "three brokers", func() error {
		m, err := r.admin().BrokerMetadata(t.Context())
		if err == nil && len(m.Brokers) != 3 {
			err = fmt.Errorf("%v", m.Brokers)
		}
		return err
	})
}
