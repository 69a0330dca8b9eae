package behaviour

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

var update = flag.Bool("update", false, "record the golden answers (with BROKER=kafka)")

// settings are those of the broker, beyond the harness's.
var settings = []string{
	"offsets.topic.num.partitions=4",
	"log.retention.ms=-1", // records have timestamps of 2020
	"num.partitions=2",
	"controlled.shutdown.enable=false",
	"auto.leader.rebalance.enable=false",
	"log.cleaner.enable=false",
}

// run is one broker under test.
type run struct {
	addr, clusterID, logDir string
	port                    int64
}

// scenario is a case. Its name says key and version: "produce/acks 1, v3".
type scenario struct {
	name  string
	alone bool
	do    func(e *env)
}

// env is what a scenario works with.
type env struct {
	run   *run
	name  string
	norm  normaliser
	steps []step
	main  *conn
	conns []*conn
	err   error
}

// broken ends a scenario whose preparation failed.
type broken struct{ err error }

func (e *env) fail(err error) { panic(broken{err}) }

// execute runs the scenario; a preparation that failed is its error.
func (s scenario) execute(r *run) (e *env) {
	e = &env{run: r, name: s.name, norm: normaliser{run: r}}
	defer func() {
		for _, c := range e.conns {
			c.nc.Close()
		}
		if x := recover(); x != nil {
			b, ok := x.(broken)
			if !ok {
				panic(x)
			}
			e.err = b.err
		}
	}()
	s.do(e)
	return e
}

// slug is the scenario's name as a topic, group or client id, with a suffix.
func (e *env) slug(suffix string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, e.name) + suffix
}

// dial opens one more connection.
func (e *env) dial() *conn {
	c, err := dial(e.run.addr)
	if err != nil {
		e.fail(err)
	}
	e.conns = append(e.conns, c)
	return c
}

// conn is the scenario's first connection.
func (e *env) conn() *conn {
	if e.main == nil {
		e.main = e.dial()
	}
	return e.main
}

var clientID = "behaviour"

// record keeps an answer.
func (e *env) record(label string, answer any) { e.steps = append(e.steps, step{label, answer}) }

// do sends a request at a version on the first connection and records its answer, which it returns; nil if there is none.
func (e *env) do(label string, version int16, req kmsg.Request) kmsg.Response {
	return e.doOn(e.conn(), label, version, req)
}

func (e *env) doOn(c *conn, label string, version int16, req kmsg.Request) kmsg.Response {
	resp, err := e.exchange(c, version, req, answerLimit)
	e.recordAnswer(label, resp, err)
	if err != nil {
		if c == e.main {
			e.main = nil // the next request opens another
		}
		return nil
	}
	return resp
}

// doBriefly is do where Kafka is known to give no answer at all: it does not wait long for one.
func (e *env) doBriefly(label string, version int16, req kmsg.Request) {
	resp, err := e.exchange(e.conn(), version, req, quiet)
	e.recordAnswer(label, resp, err)
	if err != nil {
		e.main = nil
	}
}

func (e *env) recordAnswer(label string, resp kmsg.Response, err error) {
	switch {
	case errors.Is(err, errClosed):
		e.record(label, "connection closed")
	case errors.Is(err, errSilent):
		e.record(label, "no answer")
	case err != nil:
		e.record(label, err.Error())
	default:
		canonical(resp)
		e.record(label, e.norm.response(resp))
	}
}

func (e *env) exchange(c *conn, version int16, req kmsg.Request, limit time.Duration) (kmsg.Response, error) {
	req.SetVersion(version)
	resp := req.ResponseKind()
	if d, ok := resp.(interface{ Default() }); ok {
		d.Default()
	}
	resp.SetVersion(version)
	if err := c.send(req, &clientID); err != nil {
		return nil, err
	}
	if err := c.receive(resp, limit); err != nil {
		return nil, err
	}
	return resp, nil
}

// ask is do without recording, for preparations: no answer ends the scenario.
func ask[R kmsg.Response](e *env, version int16, req kmsg.Request) R {
	resp, err := e.exchange(e.conn(), version, req, answerLimit)
	if err != nil {
		e.fail(fmt.Errorf("%s v%d: %w", kmsg.NameForKey(req.Key()), version, err))
	}
	return resp.(R)
}

// later starts an exchange on a connection of its own; the function returned waits for the answer and records it.
func (e *env) later(label string, version int16, req kmsg.Request) (wait func() kmsg.Response) {
	c := e.dial()
	type answer struct {
		resp kmsg.Response
		err  error
	}
	ch := make(chan answer, 1)
	go func() {
		resp, err := e.exchange(c, version, req, answerLimit)
		ch <- answer{resp, err}
	}()
	return func() kmsg.Response {
		a := <-ch
		e.recordAnswer(label, a.resp, a.err)
		return a.resp
	}
}

// topic creates the scenario's topic with the suffix and waits for its leaders. configs are name, value, name, value.
func (e *env) topic(suffix string, partitions int32, configs ...string) string {
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = e.slug(suffix), partitions, 1
	for i := 0; i+1 < len(configs); i += 2 {
		rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = []kmsg.CreateTopicsRequestTopic{rt}, 15000
	resp := ask[*kmsg.CreateTopicsResponse](e, 4, req)
	if t := resp.Topics[0]; t.ErrorCode != 0 {
		e.fail(fmt.Errorf("create topic %s: code %d: %s", rt.Topic, t.ErrorCode, *t.ErrorMessage))
	}
	return rt.Topic
}

// topicID is the id of a topic.
func (e *env) topicID(topic string) [16]byte {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	return ask[*kmsg.MetadataResponse](e, 12, req).Topics[0].TopicID
}

// scenarios are all cases, in the order of the files.
func scenarios() []scenario {
	return slices.Concat(connectionCases(), produceCases(), recordCases(), idempotenceCases(), legacyCases(), fetchCases(),
		fetchLimitCases(), sessionCases(), offsetCases(), metadataCases(), topicCases(), partitionCases(), configCases(),
		clusterCases(), controlCases(), coordinatorCases(), groupCases(), memberCases(), staticCases(), commitCases(), groupAdminCases(), transactionCases())
}

// workers is how many scenarios run at the same time: most of them wait for the broker.
const workers = 12

func TestBehaviour(t *testing.T) {
	kind, err := harness.KindFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if *update && kind != harness.Kafka {
		t.Fatal("golden answers are those of Apache Kafka: set BROKER=kafka")
	}
	all := scenarios()
	known := make(map[string]bool)
	for _, s := range all {
		if known[s.name] {
			t.Fatalf("two cases are named %q", s.name)
		}
		known[s.name] = true
	}
	r := startRun(t)
	results := execute(r, selected(all))
	if *update {
		writeGolden(t, goldenPath, results, known)
		return
	}
	want, err := readGolden(goldenPath)
	if err != nil {
		t.Fatal(err)
	}
	check(t, kind, want, results, deliberate)
}

func startRun(t *testing.T, more ...string) *run {
	t.Helper()
	b := harness.NewBroker(t, harness.Config{ID: 1, Settings: slices.Concat(settings, more)})
	_, port, err := net.SplitHostPort(b.Addr)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{addr: b.Addr, logDir: filepath.Join(b.Dir(), "data")}
	if r.port, err = strconv.ParseInt(port, 10, 32); err != nil {
		t.Fatal(err)
	}
	r.askClusterID(t)
	return r
}

func (r *run) askClusterID(t *testing.T) {
	t.Helper()
	s := scenario{name: "cluster id", do: func(e *env) {
		r.clusterID = *ask[*kmsg.MetadataResponse](e, 2, kmsg.NewPtrMetadataRequest()).ClusterID
	}}
	if e := s.execute(r); e.err != nil {
		t.Fatal(e.err)
	}
}

// selected are the cases under the second element of -run, so that a broker is not asked all for one answer.
func selected(all []scenario) []scenario {
	_, prefix, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	prefix = strings.Trim(prefix, "^$")
	if i := strings.IndexAny(prefix, `.*[](|\`); i >= 0 {
		prefix = prefix[:i]
	}
	prefix = strings.ReplaceAll(prefix, "_", " ")
	return slices.DeleteFunc(slices.Clone(all), func(s scenario) bool {
		return s.name != firstCase && !strings.HasPrefix(s.name, prefix)
	})
}

func execute(r *run, todo []scenario) map[string]*env {
	results := make(map[string]*env, len(todo))
	for _, s := range todo {
		if s.alone {
			results[s.name] = s.execute(r)
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, workers)
	for _, s := range todo {
		if s.alone {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			e := s.execute(r)
			mu.Lock()
			results[s.name] = e
			mu.Unlock()
			<-slots
		})
	}
	wg.Wait()
	return results
}

// writeGolden replaces the answers of the cases that ran, and drops those of cases that are no more.
func writeGolden(t *testing.T, path string, results map[string]*env, known map[string]bool) {
	t.Helper()
	g, err := readGolden(path)
	if errors.Is(err, os.ErrNotExist) {
		g, err = golden{}, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(g, func(name string, _ []step) bool { return !known[name] })
	for name, e := range results {
		if e.err != nil {
			t.Errorf("%s: %v", name, e.err)
			continue
		}
		g[name] = e.steps
	}
	if err := g.write(path); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cases, %d of them recorded now", len(g), len(results))
}

// check compares the cases that ran with the golden answers, as subtests.
func check(t *testing.T, kind harness.Kind, want golden, results map[string]*env, deliberate []deviation) {
	used := make(map[int]bool)
	for _, name := range slices.Sorted(maps.Keys(results)) {
		e := results[name]
		t.Run(name, func(t *testing.T) {
			if e.err != nil {
				t.Fatal(e.err)
			}
			steps, ok := want[name]
			if !ok {
				t.Fatalf("no golden answer: run with BROKER=kafka -update")
			}
			if len(steps) != len(e.steps) {
				t.Fatalf("%d answers, Kafka gave %d", len(e.steps), len(steps))
			}
			for i, s := range steps {
				if s.Label != e.steps[i].Label {
					t.Fatalf("answer %d is to %q, in the golden file to %q", i, e.steps[i].Label, s.Label)
				}
				for _, d := range compare(s.Answer, e.steps[i].Answer) {
					if at := onPurpose(deliberate, kind, name, s.Label, d); at >= 0 {
						used[at] = true
						continue
					}
					t.Errorf("%s: %v", s.Label, d)
				}
			}
		})
	}
	if kind != harness.Ottla || len(results) < len(want) {
		return
	}
	for i, d := range deliberate {
		if !used[i] {
			t.Errorf("difference on purpose was not seen, remove it from the table: %s, %s, %s", d.name, d.step, d.path)
		}
	}
}

// matches is path.Match on a whole text, where * also stands for slashes.
func matches(pattern, s string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(s, "/", "\x00"))
	return ok && err == nil
}

// pause is the time between two questions whether something has happened.
func (e *env) pause() { time.Sleep(25 * time.Millisecond) }
