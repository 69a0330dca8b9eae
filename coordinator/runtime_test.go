package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/coordinator"
	"ottla/coordinator/logtest"
	"ottla/wire/batch"
)

// kv is a machine that keeps keys and values, and counts what happens to it.
type kv struct {
	data     map[string]string
	pending  map[int64]map[string]string
	offsets  map[string]int64
	tick     time.Time
	ticks    int
	loaded   int
	unloaded error
	parked   []*kvEvent
}

type kvEvent struct {
	coordinator.Request
	op        string // put, get, park, timer, boom
	key       string
	value     string
	txn       int64 // -1 none
	split     int
	batching  bool
	waitsLoad bool
	err       error
	got       string
	applied   bool
}

func (e *kvEvent) Traits() coordinator.Traits {
	var t coordinator.Traits
	if e.batching {
		t |= coordinator.Batching
	}
	if e.waitsLoad {
		t |= coordinator.AwaitsLoad
	}
	return t
}
func (e *kvEvent) Fail(err error) { e.err = err; e.Finish() }

func (m *kv) Handle(now time.Time, ev coordinator.Event) coordinator.Result {
	e, ok := ev.(*kvEvent)
	if !ok {
		m.ticks++
		m.tick = time.Time{}
		return coordinator.Result{Records: []coordinator.KeyValue{{Key: []byte("tick"), Value: []byte("x")}}}
	}
	done := func(_ time.Time, err error) { e.err = err; e.Finish() }
	switch e.op {
	case "get":
		e.got = m.data[e.key]
		return coordinator.Result{Done: done}
	case "park":
		m.parked = append(m.parked, e)
		return coordinator.Result{}
	case "timer":
		m.tick = now.Add(time.Minute)
		return coordinator.Result{Done: done}
	}
	res := coordinator.Result{
		Records: []coordinator.KeyValue{{Key: []byte(e.key), Value: []byte(e.value)}},
		Applied: func(time.Time) { e.applied = true }, Done: done,
	}
	if e.txn >= 0 && e.op == "txn" {
		res.Transaction = &coordinator.Transaction{ProducerID: e.txn}
	}
	for i := range e.split {
		res.Split = true
		res.Records = append(res.Records, coordinator.KeyValue{Key: fmt.Appendf(nil, "%s%d", e.key, i), Value: []byte(e.value)})
	}
	return res
}

func (m *kv) Replay(r coordinator.Record) error {
	switch {
	case r.Marker == coordinator.CommitMarker:
		for k, v := range m.pending[r.ProducerID] {
			m.data[k] = v
		}
		delete(m.pending, r.ProducerID)
	case r.Marker == coordinator.AbortMarker:
		delete(m.pending, r.ProducerID)
	case string(r.Key) == "bad":
		return errors.New("bad record")
	case r.ProducerID >= 0:
		if m.pending[r.ProducerID] == nil {
			m.pending[r.ProducerID] = map[string]string{}
		}
		m.pending[r.ProducerID][string(r.Key)] = string(r.Value)
	default:
		m.data[string(r.Key)] = string(r.Value)
		m.offsets[string(r.Key)] = r.Offset
	}
	return nil
}

func (m *kv) Loaded(time.Time)    { m.loaded++ }
func (m *kv) Deadline() time.Time { return m.tick }
func (m *kv) Unload(err error) {
	m.unloaded = err
	for _, e := range m.parked {
		e.Fail(err)
	}
}

type rig struct {
	t   *testing.T
	log *logtest.Log
	rt  *coordinator.Runtime
	out strings.Builder
	mu  sync.Mutex
	ms  []*kv
}

func newRig(t *testing.T, log *logtest.Log, cfg coordinator.Config) *rig {
	r := &rig{t: t, log: log}
	cfg.Topic = "__test"
	cfg.Log = zerolog.New(zerolog.SyncWriter(&r.out)) // shards log from their goroutines
	r.rt = coordinator.NewRuntime(cfg, log, func(int32) coordinator.Machine {
		m := &kv{data: map[string]string{}, pending: map[int64]map[string]string{}, offsets: map[string]int64{}}
		r.mu.Lock()
		r.ms = append(r.ms, m)
		r.mu.Unlock()
		return m
	})
	return r
}

func event(op, key, value string) *kvEvent {
	return &kvEvent{Request: coordinator.NewRequest(), op: op, key: key, value: value, txn: -1}
}

func (r *rig) post(e *kvEvent) *kvEvent { r.rt.Post(0, e); return e }

func (r *rig) do(e *kvEvent) error {
	r.t.Helper()
	r.post(e)
	if err := e.Wait(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	return e.err
}

func (r *rig) want(key, value string) {
	r.t.Helper()
	e := event("get", key, "")
	if err := r.do(e); err != nil || e.got != value {
		r.t.Errorf("%s is %q, %v; want %q", key, e.got, err, value)
	}
}

func answered(e *kvEvent) bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	synctest.Wait()
	return e.Wait(ctx) == nil
}

func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func TestAnswersWaitForHighWatermark(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), coordinator.Config{})
		defer r.rt.Close()
		r.rt.Elected(0, 1)
		synctest.Wait()
		r.log.HoldHighWatermark(true)
		put := r.post(event("put", "a", "1"))
		get := r.post(event("get", "a", "")) // rests on what is not committed
		time.Sleep(time.Second)
		synctest.Wait()
		if put.got != "" || r.log.End(0) != 1 {
			t.Fatalf("log end is %d", r.log.End(0))
		}
		select {
		case <-done(put):
			t.Fatal("put was answered before its commit")
		case <-done(get):
			t.Fatal("get was answered before what it read was committed")
		default:
		}
		r.log.SetHighWatermark(0, 1)
		if err := wait(put, get); err != nil || put.err != nil || get.err != nil || get.got != "1" {
			t.Fatalf("%v, %v, %v, got %q", err, put.err, get.err, get.got)
		}
	})
}

// done is closed when the event was answered.
func done(e *kvEvent) <-chan struct{} {
	c := make(chan struct{})
	if answered(e) {
		close(c)
	}
	return c
}

func wait(es ...*kvEvent) error {
	for _, e := range es {
		if err := e.Wait(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

func TestCommitTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), coordinator.Config{CommitTimeout: 3 * time.Second})
		defer r.rt.Close()
		r.rt.Elected(0, 1)
		synctest.Wait()
		r.log.HoldHighWatermark(true)
		start := time.Now()
		if err := r.do(event("put", "a", "1")); !errors.Is(err, kerr.RequestTimedOut) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("answered after %v", d)
		}
		r.log.HoldHighWatermark(false)
		r.want("a", "1") // it was written nevertheless
	})
}

func TestFailedAppendFailsThatRequestAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), coordinator.Config{})
		defer r.rt.Close()
		r.rt.Elected(0, 1)
		synctest.Wait()
		r.log.FailAppends(func(_ int32, b batch.View) error {
			return b.Walk(func(rec *batch.Record) error {
				if string(rec.Key) == "poison" {
					return fmt.Errorf("no: %w", kerr.NotEnoughReplicas)
				}
				return nil
			})
		})
		poison := event("put", "poison", "1")
		if err := r.do(poison); !errors.Is(err, kerr.NotEnoughReplicas) || poison.applied {
			t.Errorf("got %v, applied %v", err, poison.applied)
		}
		if err := r.do(event("put", "good", "1")); err != nil {
			t.Error(err)
		}
		r.want("poison", "")
		r.want("good", "1")
	})
}

func TestOversizedEventFailsAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), coordinator.Config{})
		defer r.rt.Close()
		r.rt.Elected(0, 1)
		synctest.Wait()
		r.log.SetMaxBatch(400)
		release := r.blockLoop()
		var es []*kvEvent
		for i := range 5 {
			e := event("put", fmt.Sprint("k", i), "v")
			if i == 2 {
				e.value = strings.Repeat("x", 500)
			}
			e.batching = true
			es = append(es, r.post(e))
		}
		release()
		if err := wait(es...); err != nil {
			t.Fatal(err)
		}
		for i, e := range es {
			if i == 2 && !errors.Is(e.err, kerr.MessageTooLarge) || i != 2 && (e.err != nil || !e.applied) {
				t.Errorf("event %d: %v, applied %v", i, e.err, e.applied)
			}
		}
		r.want("k4", "v")
		r.want("k2", "")
	})
}

// blockLoop keeps the shard busy until the returned function is called, so that events pile up.
func (r *rig) blockLoop() func() {
	b := &blocker{Request: coordinator.NewRequest(), started: make(chan struct{}), release: make(chan struct{})}
	r.rt.Post(0, b)
	<-b.started
	return func() { close(b.release) }
}

// blocker blocks in Begin, which the loop calls.
type blocker struct {
	coordinator.Request
	started, release chan struct{}
}

func (b *blocker) Traits() coordinator.Traits { return 0 }
func (b *blocker) Fail(error)                 {}
func (b *blocker) Begin() bool {
	close(b.started)
	<-b.release
	return false
}

func TestBatchingEventsShareOneAppend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), coordinator.Config{})
		defer r.rt.Close()
		r.rt.Elected(0, 1)
		synctest.Wait()
		release := r.blockLoop()
		var es []*kvEvent
		for i := range 100 {
			e := event("put", fmt.Sprint("k", i), "v")
			e.batching = true
			es = append(es, r.post(e))
		}
		alone := r.post(event("put", "alone", "v"))
		release()
		if err := wait(append(es, alone)...); err != nil {
			t.Fatal(err)
		}
		if n := r.log.Appends(); n != 2 {
			t.Errorf("%d appends, want one for 100 batching events and one for the other", n)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if off := r.ms[0].offsets["k99"]; off != 99 {
			t.Errorf("k99 was replayed at offset %d", off)
		}
	})
}

func TestSharedBatchStaysWithinLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), coordinator.Config{MaxBatchBytes: 1000})
		defer r.rt.Close()
		r.rt.Elected(0, 1)
		synctest.Wait()
		r.log.SetMaxBatch(1000)
		release := r.blockLoop()
		var es []*kvEvent
		for i := range 100 {
			e := event("put", fmt.Sprint("k", i), strings.Repeat("v", 50))
			e.batching = true
			es = append(es, r.post(e))
		}
		split := event("put", "s", strings.Repeat("v", 300))
		split.split = 20
		r.post(split)
		release()
		if err := wait(append(es, split)...); err != nil {
			t.Fatal(err)
		}
		for _, e := range append(es, split) {
			if e.err != nil || !e.applied {
				t.Fatalf("%s: %v", e.key, e.err)
			}
		}
		if n := r.log.Appends(); n > 30 {
			t.Errorf("%d appends", n)
		}
		r.want("s19", split.value)
	})
}

func TestLoadReplaysAndAnswersLoading(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := logtest.New()
		put := func(txn int64, key, value string) {
			opt := batch.NewBuilderOptions(0)
			if txn >= 0 {
				opt.ProducerID, opt.Epoch, opt.Sequence, opt.Transactional = txn, 0, 0, true
			}
			b := batch.NewBuilder(opt)
			b.Add(1, []byte(key), []byte(value), nil)
			log.Put(0, b.Build())
		}
		mark := func(txn int64, kind batch.ControlType) {
			log.Put(0, batch.ControlBatch(batch.ControlOptions{Type: kind, ProducerID: txn}))
		}
		put(-1, "a", "1")
		put(-1, "bad", "")
		put(7, "b", "2")
		put(8, "c", "3")
		mark(7, batch.ControlCommit)
		mark(8, batch.ControlAbort)
		put(-1, "torn", "4")
		log.Corrupt(0, 6, 70)
		put(9, "open", "5")
		log.FailReads(errors.New("disk asleep"))
		r := newRig(t, log, coordinator.Config{LoadBytes: 100})
		defer r.rt.Close()
		r.rt.Elected(0, 3)
		time.Sleep(100 * time.Millisecond)
		if !r.rt.Loading(0) {
			t.Error("not loading")
		}
		if err := r.do(event("get", "a", "")); !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			t.Errorf("got %v", err)
		}
		late := event("get", "b", "")
		late.waitsLoad = true
		r.post(late)
		log.FailReads(nil)
		if err := wait(late); err != nil || late.err != nil || late.got != "2" {
			t.Errorf("%v %v %q", err, late.err, late.got)
		}
		r.want("a", "1")
		r.want("b", "2")
		r.want("c", "")
		r.want("torn", "")
		r.want("open", "")
		if n := r.rt.Stats.Skipped.Load(); n != 2 {
			t.Errorf("skipped %d", n)
		}
		for _, s := range []string{`"offset":1,`, `"offset":6,`, `"partition":0`} {
			if !strings.Contains(r.out.String(), s) {
				t.Errorf("no %s in the log:\n%s", s, r.out.String())
			}
		}
	})
}

// TestLoadSkipsDamagedBatches: whatever byte of a batch is damaged, all others are loaded, and one line names where.
func TestLoadSkipsDamagedBatches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for at := 8; at < batch.HeaderSize+8; at++ { // after the base offset
			if at >= 12 && at < 16 { // the leader epoch, which the checksum does not cover
				continue
			}
			for _, loadBytes := range []int{1, 200, 1 << 20} {
				log := logtest.New()
				for i := range 6 {
					b := batch.NewBuilder(batch.NewBuilderOptions(0))
					b.Add(1, fmt.Appendf(nil, "k%d", i), []byte("v"), nil)
					b.Add(1, fmt.Appendf(nil, "l%d", i), []byte("v"), nil)
					log.Put(0, b.Build())
				}
				for _, i := range []int{2, 5} {
					log.Corrupt(0, i, at)
				}
				r := newRig(t, log, coordinator.Config{LoadBytes: loadBytes})
				r.rt.Elected(0, 3)
				synctest.Wait()
				for i := range 6 {
					want := "v"
					if i == 2 || i == 5 {
						want = ""
					}
					r.want(fmt.Sprintf("k%d", i), want)
					r.want(fmt.Sprintf("l%d", i), want)
				}
				if n := r.rt.Stats.Skipped.Load(); n != 2 {
					t.Errorf("skipped %d parts", n)
				}
				lines := strings.Count(r.out.String(), `"message":"skipped unreadable coordinator record"`)
				if out := r.out.String(); lines != 2 || !strings.Contains(out, `"offset":4,`) || !strings.Contains(out, `"offset":10,`) {
					t.Errorf("want two lines, for offsets 4 and 10:\n%s", out)
				}
				if err := r.do(event("put", "k5", "new")); err != nil { // its answer waits for the log end, wherever the damage said it was
					t.Error(err)
				}
				r.want("k5", "new")
				r.rt.Close()
				if t.Failed() {
					t.Fatalf("byte %d, %d bytes at a time", at, loadBytes)
				}
			}
		}
	})
}

func TestLoadReadsFormatsBeforeMagic2(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := batch.NewBuilder(batch.NewBuilderOptions(0))
		b.Add(1, []byte("a"), []byte("1"), nil)
		b.Add(2, []byte("b"), []byte("2"), nil)
		for magic := int8(0); magic < 2; magic++ {
			old, err := batch.Downconvert(b.Build(), magic)
			if err != nil {
				t.Fatal(err)
			}
			log := logtest.New()
			if err := log.Load(0, old); err != nil {
				t.Fatal(err)
			}
			r := newRig(t, log, coordinator.Config{LoadBytes: 10})
			r.rt.Elected(0, 1)
			synctest.Wait()
			r.want("a", "1")
			r.want("b", "2")
			if err := r.do(event("put", "a", "3")); err != nil || log.End(0) != 3 {
				t.Errorf("%v, log end offset %d", err, log.End(0))
			}
			r.rt.Close()
		}
	})
}

func TestResignedFailsEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), coordinator.Config{})
		defer r.rt.Close()
		r.rt.Elected(0, 1)
		synctest.Wait()
		parked := r.post(event("park", "", ""))
		synctest.Wait()
		r.log.HoldHighWatermark(true)
		put := r.post(event("put", "a", "1"))
		synctest.Wait()
		r.rt.Resigned(0, 0) // of an older epoch
		synctest.Wait()
		if r.rt.Partitions() == nil {
			t.Fatal("resigned by an old epoch")
		}
		r.rt.Resigned(0, 2)
		r.log.HoldHighWatermark(false) // too late
		if err := wait(parked, put); err != nil || !errors.Is(parked.err, kerr.NotCoordinator) || !errors.Is(put.err, kerr.NotCoordinator) {
			t.Errorf("%v %v %v", err, parked.err, put.err)
		}
		if err := r.do(event("get", "a", "")); !errors.Is(err, kerr.NotCoordinator) {
			t.Errorf("got %v", err)
		}
		r.rt.Elected(0, 5)
		synctest.Wait()
		r.want("a", "1")
	})
}

func TestEpochs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), coordinator.Config{})
		defer r.rt.Close()
		r.log.SetEpoch(0, 4)
		r.rt.Elected(0, 4)
		synctest.Wait()
		if err := r.do(event("put", "a", "1")); err != nil {
			t.Fatal(err)
		}
		parked := r.post(event("park", "", ""))
		r.log.SetEpoch(0, 5)
		r.rt.Elected(0, 5) // nobody else can have led: state is kept
		r.rt.Elected(0, 4)
		if err := r.do(event("put", "b", "1")); err != nil {
			t.Fatal(err)
		}
		if answered(parked) {
			t.Error("the next epoch dropped the state")
		}
		r.log.SetEpoch(0, 7)
		if err := r.do(event("put", "c", "1")); !errors.Is(err, kerr.NotLeaderForPartition) {
			t.Errorf("deposed shard wrote: %v", err)
		}
		r.rt.Elected(0, 7) // 6 may have been somebody else's
		synctest.Wait()
		if !answered(parked) {
			t.Error("a gap in epochs kept the state")
		}
		r.want("b", "1")
		if len(r.ms) != 2 {
			t.Errorf("%d machines", len(r.ms))
		}
	})
}

func TestUnknownOutcomeReloads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := logtest.New()
		r := newRig(t, log, coordinator.Config{})
		defer r.rt.Close()
		r.rt.Elected(0, 1)
		synctest.Wait()
		failed := false
		log.FailAppends(func(int32, batch.View) error {
			if failed {
				return nil
			}
			failed = true
			return errors.New("who knows")
		})
		parked := r.post(event("park", "", ""))
		e := event("put", "a", "1")
		if err := r.do(e); err == nil {
			t.Error("no error")
		}
		synctest.Wait()
		if !answered(parked) || !errors.Is(parked.err, kerr.CoordinatorLoadInProgress) {
			t.Errorf("parked: %v", parked.err)
		}
		if len(r.ms) != 2 || r.ms[1].loaded != 1 {
			t.Errorf("%d machines", len(r.ms))
		}
		if err := r.do(event("put", "b", "2")); err != nil {
			t.Error(err)
		}
	})
}

func TestTickAndAbandonedRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), coordinator.Config{})
		defer r.rt.Close()
		r.rt.Elected(0, 1)
		synctest.Wait()
		if err := r.do(event("timer", "", "")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		r.want("tick", "")
		time.Sleep(2 * time.Second)
		r.want("tick", "x")

		release := r.blockLoop()
		gone := r.post(event("put", "gone", "1"))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := gone.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		release()
		r.want("gone", "")
	})
}

func TestCloseAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), coordinator.Config{})
		r.rt.Elected(0, 1)
		synctest.Wait()
		parked := r.post(event("park", "", ""))
		synctest.Wait()
		r.rt.Close()
		if !answered(parked) || !errors.Is(parked.err, kerr.CoordinatorNotAvailable) {
			t.Errorf("parked: %v", parked.err)
		}
		if err := r.do(event("get", "", "")); !errors.Is(err, kerr.CoordinatorNotAvailable) {
			t.Errorf("got %v", err)
		}
		r.rt.Elected(0, 2)
		if len(r.rt.Partitions()) != 0 {
			t.Error("elected after Close")
		}
	})
}

func TestTimers(t *testing.T) {
	var ts coordinator.Timers
	t0 := time.Now()
	at := func(d int) time.Time { return t0.Add(time.Duration(d) * time.Second) }
	var fired []string
	timer := func(name string) *coordinator.Timer {
		tm := new(coordinator.Timer)
		tm.Fire = func(time.Time) { fired = append(fired, name) }
		return tm
	}
	a, b, c := timer("a"), timer("b"), timer("c")
	ts.Set(a, at(10))
	ts.Set(b, at(5))
	ts.Set(c, at(7))
	ts.Set(b, at(20)) // later
	ts.Set(a, at(6))  // earlier
	ts.Stop(c)
	ts.Run(at(5))
	if len(fired) != 0 || ts.Next() != at(6) {
		t.Fatalf("%v, next %v", fired, ts.Next().Sub(t0))
	}
	ts.Run(at(19))
	ts.Run(at(20))
	if fmt.Sprint(fired) != "[a b]" || ts.Len() != 0 || a.Active() || !ts.Next().IsZero() {
		t.Fatalf("%v, %d left", fired, ts.Len())
	}
}
