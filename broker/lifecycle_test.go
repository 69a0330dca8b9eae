package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	taken := start(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	meta := func(text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "data", "meta.properties"), text)
		}
	}
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		sets    []string
		want    []string // in the error
	}{
		{"a directory in use", nil, []string{"log.dirs=" + filepath.Join(taken.dir, "data")}, []string{"in use", filepath.Join(taken.dir, "data")}},
		{"a port in use", nil, []string{"listeners=PLAINTEXT://" + taken.addr}, []string{"listeners: PLAINTEXT", "address already in use", taken.addr}},
		{"an address of another machine", nil, []string{"listeners=PLAINTEXT://192.0.2.1:9092"}, []string{"listeners: PLAINTEXT", "192.0.2.1"}},
		{"a file for a directory", nil, []string{"log.dirs=" + file}, []string{"log.dirs", file}},
		{"a file for the second of two directories is not fatal, for both it is", nil, []string{"log.dirs=" + file + "/a," + file}, []string{file}},
		{"the directory of another broker", meta("version=0\nbroker.id=5\ncluster.id=c\n"), []string{"broker.id=1"}, []string{"broker.id is 1", "says 5"}},
		{"meta.properties of KRaft", meta("version=1\nnode.id=5\ncluster.id=c\n"), nil, []string{"meta.properties", "version"}},
		{"topics without metadata", func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "data", "orders-0"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, nil, []string{"orders-0", "--adopt", "zookeeper.connect"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.prepare != nil {
				tt.prepare(t, dir)
			}
			b, err := try(t, t.Context(), dir, tt.sets...)
			if err == nil {
				b.stop()
				t.Fatal("it starts")
			}
			for _, text := range tt.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q does not say %q", err, text)
				}
			}
		})
	}
	// Nothing that failed holds on to anything.
	produce(t, taken.client(), "t", 0, 1)
	taken.stop()
	start(t, taken.dir, "listeners=PLAINTEXT://"+taken.addr)
}

func TestDirectoryOfAnotherCluster(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	dir := t.TempDir()
	start(t, dir, "ottla.cluster.id=standalone-cluster-1").stop()
	_, err := try(t, t.Context(), t.TempDir(), beside(zooKeeper.Addr, chroot, 0)...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = try(t, t.Context(), dir, beside(zooKeeper.Addr, chroot, 0)...)
	if err == nil || !strings.Contains(err.Error(), "standalone-cluster-1") || !strings.Contains(err.Error(), "wrong cluster") {
		t.Errorf("error %v", err)
	}
}

func TestBadDirectoryGoesOfflineAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	write(t, bad, "a file")
	b := start(t, dir, "log.dirs="+filepath.Join(dir, "data")+","+bad)
	produce(t, b.client(), "t", 0, 10)
	wantRecords(t, b, "t", 10)
	eventually(t, "it is said", func() error {
		if !strings.Contains(b.logs.String(), "the log directory goes offline") {
			return errors.New("it is not")
		}
		return nil
	})
	select {
	case err := <-b.Failed():
		t.Errorf("the broker wants to stop: %v", err)
	default:
	}
}

func TestStopAnswersRequestsInFlight(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, dir)
	b.create("t", 1, nil)
	produce(t, b.client(), "t", 0, 1)
	fetch := fetchAll("t", 1)
	c := dial(t, b.addr)
	c.send(fetch)
	eventually(t, "the fetch is read", c.wasRead)
	began := time.Now()
	b.stop()
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the stop took %v", took)
	}
	resp := fetch.ResponseKind()
	c.receive(resp)
	if code := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Errorf("the fetch was answered with %v", kerr.ErrorForCode(code))
	}
	if _, err := os.Stat(filepath.Join(dir, "data", ".kafka_cleanshutdown")); err != nil {
		t.Error(err)
	}
	select {
	case err := <-b.Failed():
		t.Errorf("a stop is reported as a failure: %v", err)
	default:
	}
}

func TestStopDoesNotWaitForClientsThatDoNotRead(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), "socket.send.buffer.bytes=8192")
	b.create("t", 1, nil)
	produceBig(t, b, "t", 40)
	c := dial(t, b.addr)
	c.send(fetchAll("t", 0))
	if _, err := c.Read(make([]byte, 100)); err != nil { // the answer is under way
		t.Fatal(err)
	}
	began := time.Now()
	b.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

func TestMetadataAnswersByListener(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(),
		"listeners=PLAINTEXT://127.0.0.1:0,DOCKER://127.0.0.1:0,HIDDEN://127.0.0.1:0", "inter.broker.listener.name=PLAINTEXT",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DOCKER:PLAINTEXT,HIDDEN:PLAINTEXT",
		"advertised.listeners=PLAINTEXT://localhost:0,DOCKER://broker.example:19092")
	_, port, _ := net.SplitHostPort(b.addr)
	for listener, want := range map[string]string{"PLAINTEXT": "localhost:" + port, "DOCKER": "broker.example:19092", "HIDDEN": ""} {
		got := ""
		for _, mb := range metadata(t, dial(t, b.Addr(listener).String())).Brokers {
			got = net.JoinHostPort(mb.Host, fmt.Sprint(mb.Port))
		}
		if got != want {
			t.Errorf("on %s the broker is at %q, want %q", listener, got, want)
		}
	}
	if b.Addr("NONE") != nil {
		t.Error("a listener that is not there has an address")
	}
}

func TestBrokerConfigTakesEffectWithoutRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, dir)
	b.create("t", 1, nil)
	admin := b.admin()
	set := func(name, value string, brokers ...int32) {
		t.Helper()
		r, err := admin.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: name, Value: &value}}, brokers...)
		if err != nil || r[0].Err != nil {
			t.Fatal(name, err, r)
		}
	}
	set("message.max.bytes", "1000", b.ID())
	big := &kgo.Record{Topic: "t", Value: []byte(strings.Repeat("x", 2000))}
	plain := b.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	eventually(t, "message.max.bytes", func() error {
		if err := plain.ProduceSync(t.Context(), big).FirstErr(); !errors.Is(err, kerr.MessageTooLarge) {
			return fmt.Errorf("2000 bytes: %v", err)
		}
		return nil
	})
	set("log.retention.ms", "7777777") // of all brokers
	eventually(t, "log.retention.ms", func() error {
		configs, err := admin.DescribeTopicConfigs(t.Context(), "t")
		if err != nil {
			return err
		}
		for _, c := range configs[0].Configs {
			if c.Key == "retention.ms" && *c.Value != "7777777" {
				return fmt.Errorf("retention.ms is %s", *c.Value)
			}
		}
		return nil
	})
	set("max.connections.per.ip", "1", b.ID())
	set("listener.name.plaintext.max.connections", "1000", b.ID())
	// This test has more than one connection from 127.0.0.1 already: a further one is closed.
	eventually(t, "max.connections.per.ip", func() error {
		c, err := net.Dial("tcp", b.addr)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil // closed
		}
		return errors.New("the connection stays open")
	})
	// They are kept.
	b.stop()
	b = start(t, dir)
	eventually(t, "one connection is let in", func() error {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version = 1
		res := kmsg.NewDescribeConfigsRequestResource()
		res.ResourceType, res.ResourceName, res.ConfigNames = kmsg.ConfigResourceTypeBroker, fmt.Sprint(b.ID()), []string{"message.max.bytes"}
		req.Resources = append(req.Resources, res)
		c := dial(t, b.addr)
		defer c.Close()
		c.send(req)
		resp := req.ResponseKind()
		c.receive(resp)
		if got := *resp.(*kmsg.DescribeConfigsResponse).Resources[0].Configs[0].Value; got != "1000" {
			t.Errorf("message.max.bytes is %s after the restart", got)
		}
		return nil
	})
}

func TestMaxConnections(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), "listeners=PLAINTEXT://127.0.0.1:0,INTER://127.0.0.1:0",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INTER:PLAINTEXT", "inter.broker.listener.name=INTER", "max.connections=3")
	var conns []*rawConn
	for range 3 {
		c := dial(t, b.addr)
		metadata(t, c)
		conns = append(conns, c)
	}
	silent := func(c *rawConn) bool {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
	// The fourth waits in the backlog, as in Kafka, until one of the others goes.
	fourth := dial(t, b.addr)
	fourth.send(metadataRequest())
	if !silent(fourth) {
		t.Error("a fourth connection is served")
	}
	conns[1].Close()
	fourth.receive(metadataRequest().ResponseKind())
	// The brokers' own listener gets in: the connection that was idle for longest is closed.
	metadata(t, dial(t, b.Addr("INTER").String()))
	if silent(conns[0]) {
		t.Error("the connection that was idle for longest is open")
	}
	metadata(t, conns[2])
}

func TestOnlyListenerIsLimitedToo(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), "max.connections=1")
	first := dial(t, b.addr)
	metadata(t, first)
	second := dial(t, b.addr)
	second.send(metadataRequest())
	_ = second.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := second.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a second connection: %v, want it to wait", err)
	}
	first.Close()
	second.receive(metadataRequest().ResponseKind())
}

func TestLogLevelsChangeAtRunTime(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	admin := b.admin()
	b.create("first", 1, nil) // the start has said all it has to say
	alter := func(configs ...kmsg.IncrementalAlterConfigsRequestResourceConfig) *kerr.Error {
		t.Helper()
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		res := kmsg.NewIncrementalAlterConfigsRequestResource()
		res.ResourceType, res.ResourceName, res.Configs = kmsg.ConfigResourceTypeBrokerLogger, fmt.Sprint(b.ID()), configs
		req.Resources = append(req.Resources, res)
		resp, err := req.RequestWith(t.Context(), b.client())
		if err != nil {
			t.Fatal(err)
		}
		return kerr.TypedErrorForCode(resp.Resources[0].ErrorCode)
	}
	level := func(name, level string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = name, &level
		return c
	}
	if err := alter(level("storage", "ERROR"), level("root", "WARN")); err != nil {
		t.Fatal(err)
	}
	before := len(b.logs.String())
	admin.CreateTopics(t.Context(), 1, 1, nil, "quiet")
	if said := b.logs.String()[before:]; strings.Contains(said, `"level":"info"`) {
		t.Errorf("at WARN it says\n%s", said)
	}
	for _, bad := range []kmsg.IncrementalAlterConfigsRequestResourceConfig{level("root", "LOUD"), level("kafka.nowhere", "INFO")} {
		if err := alter(bad); err != kerr.InvalidConfig && err != kerr.InvalidRequest {
			t.Errorf("%s=%s: %v", bad.Name, *bad.Value, err)
		}
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName, res.ConfigNames = kmsg.ConfigResourceTypeBrokerLogger, fmt.Sprint(b.ID()), []string{"storage", "wire"}
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(t.Context(), b.client())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range resp.Resources[0].Configs {
		got[c.Name] = *c.Value
	}
	if got["storage"] != "ERROR" || got["wire"] != "WARN" {
		t.Errorf("levels are %v", got)
	}
}

func TestStopTwiceAndStartAborted(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	b.stop()
	b.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := try(t, ctx, b.dir); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	start(t, b.dir)
}

// TestStopGivesEverythingBack counts descriptors; TestMain counts goroutines. It does not run beside other tests.
func TestStopGivesEverythingBack(t *testing.T) {
	descriptors := func() int {
		t.Helper()
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	dir := t.TempDir()
	cycle := func() {
		b := start(t, dir)
		c := b.client()
		produce(t, c, "t", 0, 10)
		g := b.client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		consume(t, g, 1)
		g.Close() // leaves the group
		raw := dial(t, b.addr)
		metadata(t, raw)
		b.stop()
		raw.Close()

		c.Close()
		if _, err := try(t, t.Context(), dir, "listeners=PLAINTEXT://192.0.2.1:0"); err == nil { // and a start that fails
			t.Fatal("it starts on an address of another machine")
		}
	}
	cycle()
	before := descriptors()
	for range 3 {
		cycle()
	}
	eventually(t, "descriptors", func() error {
		if after := descriptors(); after > before {
			return fmt.Errorf("%d are open, %d were", after, before)
		}
		return nil
	})
}
