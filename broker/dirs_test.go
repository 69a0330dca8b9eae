package broker_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/storage/vfs"
	"ottla/wire/batch"
	"ottla/zkmeta"
)

// disks is the operating system's filesystem with directories that break.
type disks struct{ broken atomic.Pointer[[]string] }

// set makes every operation in these directories fail from now on, and in no other.
func (d *disks) set(dirs ...string) { d.broken.Store(&dirs) }

func (d *disks) fs() vfs.FS {
	return &vfs.Faulty{FS: vfs.OS, Before: func(op vfs.Op) vfs.Fault {
		if broken := d.broken.Load(); broken != nil && op.Kind != vfs.OpClose {
			for _, dir := range *broken {
				if strings.HasPrefix(op.Path, dir) {
					return vfs.Fault{Err: syscall.EIO}
				}
			}
		}
		return vfs.Fault{}
	}}
}

// start is the harness's, with logs on these disks.
func (d *disks) start(t *testing.T, dir string, sets ...string) *running {
	t.Helper()
	r, err := tryOn(t, t.Context(), d.fs(), &output{}, dir, sets...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantRunning says that the broker does not want to stop.
func (r *running) wantRunning() {
	r.t.Helper()
	select {
	case err := <-r.Failed():
		r.t.Errorf("broker %d wants to stop: %v", r.ID(), err)
	default:
	}
}

// produceCode is what one broker answers to a Produce of one record.
func (r *running) produceCode(topic string, partition int32, acks int16) int16 {
	r.t.Helper()
	b := batch.NewBuilder(batch.NewBuilderOptions(0))
	b.Add(time.Now().UnixMilli(), []byte("probe"), []byte("probe"), nil)
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, 10_000
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, b.Build()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	c := dial(r.t, r.addr)
	c.send(req)
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	c.receive(resp)
	return resp.Topics[0].Partitions[0].ErrorCode
}

func (r *running) fetchCode(topic string, partition int32) int16 {
	r.t.Helper()
	req := fetchAll(topic, 0)
	req.MaxWaitMillis = 0
	req.Topics[0].Partitions[0].Partition = partition
	c := dial(r.t, r.addr)
	c.send(req)
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	c.receive(resp)
	return resp.Topics[0].Partitions[0].ErrorCode
}

func (r *running) listOffsetsCode(topic string, partition int32) int16 {
	r.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 5, -1
	rt, rp := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp = partition, -1
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	c := dial(r.t, r.addr)
	c.send(req)
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	c.receive(resp)
	return resp.Topics[0].Partitions[0].ErrorCode
}

// wantDirError asks for the log directories: those named are offline, the others have replicas.
func (r *running) wantDirError(offline ...string) {
	r.t.Helper()
	all, err := r.admin().DescribeBrokerLogDirs(r.t.Context(), r.ID(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	all.Each(func(d kadm.DescribedLogDir) {
		switch {
		case !slices.Contains(offline, d.Dir):
			if d.Err != nil {
				r.t.Errorf("%s: %v", d.Dir, d.Err)
			}
		case !errors.Is(d.Err, kerr.KafkaStorageError) || len(d.Topics) != 0:
			r.t.Errorf("%s: error %v, topics %v", d.Dir, d.Err, d.Topics)
		}
	})
}

// One directory of a broker fails while its partitions are written to: it alone is lost, the other broker leads on.
func TestFailedDirectoryOfACluster(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	s := look(t, chroot)
	var d disks
	one := start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 1)...)
	dir := t.TempDir()
	_, a, b := twoDirs(dir)
	settings := beside(zooKeeper.Addr, chroot, 2, "log.dirs="+b+","+a) // the first of them will fail
	two := d.start(t, dir, settings...)
	eventually(t, "two brokers", func() error {
		m, err := one.admin().BrokerMetadata(t.Context())
		if err == nil && len(m.Brokers) != 2 {
			err = fmt.Errorf("%v", m.Brokers)
		}
		return err
	})
	const partitions = 8
	for p := range int32(partitions) { // so that broker 2 leads some in either directory
		if err := two.move("t", p, []string{a, b}[p/2%2]); !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Fatal(err)
		}
	}
	if _, err := one.admin().CreateTopic(t.Context(), partitions, 2, nil, "t"); err != nil {
		t.Fatal(err)
	}
	c := one.client(kgo.SeedBrokers(one.addr, two.addr), kgo.RequiredAcks(kgo.AllISRAcks()))
	produce(t, c, "t", 0, 400)
	var lost []int32
	led := 0
	before, err := one.admin().ListTopics(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(partitions) {
		if at, _, _ := two.where("t", p); at == b {
			lost = append(lost, p)
			if before["t"].Partitions[p].Leader == 2 {
				led++
			}
		}
	}
	if len(lost) != partitions/2 || led == 0 {
		t.Fatalf("%s has partitions %v, of which broker 2 leads %d", b, lost, led)
	}

	stop := producing(t, c, "t", 400)
	d.set(b)
	replicas := func(from *running, check func(p kadm.PartitionDetail, lost bool) error) func() error {
		return func() error {
			m, err := from.admin().ListTopics(t.Context(), "t")
			if err != nil {
				return err
			}
			for _, p := range m["t"].Partitions.Sorted() {
				if err := check(p, slices.Contains(lost, p.Partition)); err != nil {
					return fmt.Errorf("t-%d, leader %d, ISR %v, offline %v: %w", p.Partition, p.Leader, p.ISR, p.OfflineReplicas, err)
				}
			}
			return nil
		}
	}
	failed := func(p kadm.PartitionDetail, lost bool) error {
		switch {
		case lost && (p.Leader != 1 || !slices.Equal(p.ISR, []int32{1}) || !slices.Equal(p.OfflineReplicas, []int32{2})):
			return errors.New("broker 2 has lost it")
		case !lost && (len(p.ISR) != 2 || len(p.OfflineReplicas) != 0):
			return errors.New("nobody has lost it")
		}
		return nil
	}
	eventually(t, "broker 1 says what is lost", replicas(one, failed))
	eventually(t, "broker 2 says what is lost", replicas(two, failed))
	two.wantDirError(b)
	two.wantRunning()
	for p := range int32(partitions) {
		if slices.Contains(lost, p) {
			for what, code := range map[string]int16{"produce": two.produceCode("t", p, 1), "fetch": two.fetchCode("t", p), "list offsets": two.listOffsetsCode("t", p)} {
				if code != kerr.KafkaStorageError.Code {
					t.Errorf("%s of the lost t-%d: error %d", what, p, code)
				}
			}
		}
	}
	for _, dir := range []string{a, b} {
		if err := two.move("t", lost[0], dir); !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("move what is lost to %s: %v", dir, err)
		}
	}
	// The notification: its number says that there was one before ours.
	path, err := s.Create(t.Context(), zkmeta.LogDirEventNotification+"/"+zkmeta.LogDirEventPrefix, zkmeta.LogDirEvent{Broker: 2}.Encode(), zkmeta.PersistentSequential, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(path[strings.LastIndexByte(path, '_')+1:]); err != nil || n == 0 {
		t.Errorf("the first notification is ours: %s, %v", path, err)
	}
	eventually(t, "the controller takes the notifications away", func() error {
		names, _, err := s.Children(t.Context(), zkmeta.LogDirEventNotification, nil)
		if err == nil && len(names) > 0 {
			err = fmt.Errorf("left: %v", names)
		}
		return err
	})
	// What is created now goes where there is a disk.
	if _, err := one.admin().CreateTopic(t.Context(), 2, 2, nil, "new"); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		two.movesTo("new", p, a)
	}
	n := stop()
	wantRecords(t, one, "t", n)
	two.stop()

	// It starts with the directory as broken as it was: the same partitions are offline, and not made anew elsewhere.
	two = d.start(t, dir, settings...)
	eventually(t, "broker 2 is back with one directory", func() error {
		if err := replicas(one, failed)(); err != nil {
			return err
		}
		m, err := one.admin().BrokerMetadata(t.Context())
		if err == nil && len(m.Brokers) != 2 {
			err = fmt.Errorf("%v", m.Brokers)
		}
		return err
	})
	two.wantDirError(b)
	two.wantRunning()
	for _, p := range lost {
		if _, err := os.Stat(filepath.Join(a, fmt.Sprintf("t-%d", p))); err == nil {
			t.Errorf("t-%d was made anew", p)
		}
		if code := two.fetchCode("t", p); code != kerr.KafkaStorageError.Code {
			t.Errorf("fetch of the lost t-%d: error %d", p, code)
		}
	}
	produce(t, c, "t", n, n+100)
	two.stop()

	// The disk is mended: everything comes back.
	d.set()
	two = d.start(t, dir, settings...)
	eventually(t, "everything is back", replicas(one, func(p kadm.PartitionDetail, _ bool) error {
		if len(p.ISR) != 2 || len(p.OfflineReplicas) != 0 {
			return errors.New("not yet")
		}
		return nil
	}))
	two.wantDirError()
	one.stop()
	eventually(t, "broker 2 leads", replicas(two, func(p kadm.PartitionDetail, _ bool) error {
		if p.Leader != 2 {
			return errors.New("not yet")
		}
		return nil
	}))
	wantRecords(t, two, "t", n+100)
}

// A broker that is alone loses a directory, and then the last one.
func TestDirectoriesFailOneAfterTheOther(t *testing.T) {
	t.Parallel()
	var d disks
	dir := t.TempDir()
	set, a, b := twoDirs(dir)
	r := d.start(t, dir, set)
	r.create("t", 2, nil)
	home := make(map[string]int32)
	for p := range int32(2) {
		at, _, _ := r.where("t", p)
		home[at] = p
	}
	if len(home) != 2 {
		t.Fatalf("the directory with the fewest replicas is not taken: %v", home)
	}
	d.set(b)
	if code := r.produceCode("t", home[b], 1); code != kerr.KafkaStorageError.Code {
		t.Errorf("the append that fails: error %d", code)
	}
	eventually(t, "the partition has no leader", func() error {
		m, err := r.admin().ListTopics(t.Context(), "t")
		if err != nil {
			return err
		}
		p := m["t"].Partitions[home[b]]
		if p.Leader != -1 || !slices.Equal(p.OfflineReplicas, []int32{0}) || !errors.Is(p.Err, kerr.LeaderNotAvailable) {
			return fmt.Errorf("leader %d, offline %v, %w", p.Leader, p.OfflineReplicas, p.Err)
		}
		return nil
	})
	for what, code := range map[string]int16{
		"produce": r.produceCode("t", home[b], -1), "fetch": r.fetchCode("t", home[b]), "list offsets": r.listOffsetsCode("t", home[b]),
	} {
		if code != kerr.KafkaStorageError.Code {
			t.Errorf("%s: error %d", what, code)
		}
	}
	if code := r.produceCode("t", home[a], -1); code != 0 {
		t.Errorf("the other partition: error %d", code)
	}
	r.wantDirError(b)
	if err := r.move("t", home[a], b); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("move to the failed directory: %v", err)
	}
	r.create("u", 2, nil)
	produce(t, r.client(), "u", 0, 20)
	wantRecords(t, r, "u", 20)
	r.wantRunning()

	d.set(a, b)
	if code := r.produceCode("u", 0, 1); code != kerr.KafkaStorageError.Code {
		t.Errorf("produce without a directory left: error %d", code)
	}
	select {
	case err := <-r.Failed():
		if !strings.Contains(err.Error(), "all log directories are offline") {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the broker goes on without a directory")
	}
	r.stop()
	d.set()
	r = d.start(t, dir, set)
	wantRecords(t, r, "u", 20)
	if code := r.produceCode("t", home[b], -1); code != 0 {
		t.Errorf("the partition that was lost: error %d", code)
	}
}

// A volume that is full is a failed directory too: Kafka does not wait for room either.
func TestFullVolumeGoesOfflineAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set, a, b := twoDirs(dir)
	if err := os.Mkdir(b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", b, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("no small volume to fill: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(b, 0); err != nil {
			t.Error(err)
		}
	})
	r := start(t, dir, set)
	for p := range int32(2) {
		if err := r.move("t", p, []string{a, b}[p]); !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Fatal(err)
		}
	}
	r.create("t", 2, nil)
	c := r.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.UnknownTopicRetries(0),
		kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	value := make([]byte, 200_000)
	full := false
	for range 100 {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Partition: 1, Value: value}).FirstErr(); err != nil {
			full = true
			break
		}
	}
	if !full {
		t.Fatal("it is never full")
	}
	eventually(t, "the directory is offline", func() error {
		if code := r.fetchCode("t", 1); code != kerr.KafkaStorageError.Code {
			return fmt.Errorf("error %d", code)
		}
		return nil
	})
	r.wantDirError(b)
	r.wantRunning()
	if code := r.produceCode("t", 0, -1); code != 0 {
		t.Errorf("the other directory: error %d", code)
	}
	r.stop()
}

// A start finds one of the directories gone, or something else in its place.
func TestStartWithADirectoryGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set, a, b := twoDirs(dir)
	r := start(t, dir, set)
	for p := range int32(2) {
		if err := r.move("t", p, []string{a, b}[p]); !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Fatal(err)
		}
	}
	r.create("t", 2, nil)
	for p := range int32(2) {
		if code := r.produceCode("t", p, -1); code != 0 {
			t.Fatal(kerr.ErrorForCode(code))
		}
	}
	r.stop()

	// Not a directory: it goes offline, and its partitions are not made anew elsewhere.
	away := b + "-away"
	if err := os.Rename(b, away); err != nil {
		t.Fatal(err)
	}
	write(t, b, "a file")
	r = start(t, dir, set)
	eventually(t, "t-1 is offline", func() error {
		if code := r.fetchCode("t", 1); code != kerr.KafkaStorageError.Code {
			return fmt.Errorf("error %d", code)
		}
		return nil
	})
	r.wantDirError(b)
	r.wantRunning()
	if code := r.produceCode("t", 0, -1); code != 0 {
		t.Errorf("the other directory: error %d", code)
	}
	r.stop()

	// It is back.
	if err := errors.Join(os.Remove(b), os.Rename(away, b)); err != nil {
		t.Fatal(err)
	}
	r = start(t, dir, set)
	eventually(t, "t-1 is back", func() error { return kerr.ErrorForCode(r.fetchCode("t", 1)) })
	r.wantDirError()
	r.stop()

	// Gone altogether: it is made anew, empty, and so are its partitions, as in Kafka.
	if err := os.RemoveAll(b); err != nil {
		t.Fatal(err)
	}
	r = start(t, dir, set)
	eventually(t, "t-1 is made anew", func() error { return kerr.ErrorForCode(r.produceCode("t", 1, -1)) })
	ends, err := r.admin().ListEndOffsets(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range []int64{2, 1} {
		if o, _ := ends.Lookup("t", int32(p)); o.Offset != want {
			t.Errorf("t-%d ends at %d, want %d", p, o.Offset, want)
		}
	}
	r.stop()

	// The first one holds the metadata of a broker that is alone: without it there is no start, and nothing is made anew.
	away = a + "-away"
	if err := os.Rename(a, away); err != nil {
		t.Fatal(err)
	}
	for _, inItsPlace := range []string{"nothing", "a file"} {
		if inItsPlace == "a file" {
			write(t, a, "a file")
		}
		if r, err := try(t, t.Context(), dir, set); err == nil {
			m, _ := r.admin().ListTopics(t.Context())
			t.Errorf("%s in the place of the first directory, and the broker starts with topics %v", inItsPlace, m.Names())
			r.stop()
		} else if !strings.Contains(err.Error(), dir) {
			t.Errorf("%s in the place of the first directory: the error does not say where: %v", inItsPlace, err)
		}
		if err := os.RemoveAll(a); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(away, a); err != nil {
		t.Fatal(err)
	}
	r = start(t, dir, set)
	eventually(t, "everything is back", func() error {
		return errors.Join(kerr.ErrorForCode(r.fetchCode("t", 0)), kerr.ErrorForCode(r.fetchCode("t", 1)))
	})
}
