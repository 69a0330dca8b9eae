package storage

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

// producerBatchOf makes a batch of n records of a producer.
func producerBatchOf(id int64, epoch int16, seq int32, n int, txn bool) []byte {
	opt := batch.NewBuilderOptions(0)
	opt.ProducerID, opt.Epoch, opt.Sequence, opt.Transactional = id, epoch, seq, txn
	b := batch.NewBuilder(opt)
	for i := range n {
		b.Add(1000+int64(i), []byte("k"), []byte("v"), nil)
	}
	return b.Build()
}

func endTxn(id int64, epoch int16, coordinatorEpoch int32, t batch.ControlType) []byte {
	return batch.ControlBatch(batch.ControlOptions{Type: t, ProducerID: id, ProducerEpoch: epoch, CoordinatorEpoch: coordinatorEpoch, TimestampMs: 2000})
}

func TestIdempotence(t *testing.T) {
	type step struct {
		epoch int16
		seq   int32
		n     int
		want  error // nil: appended
		dup   int64 // first offset of the original, -1: not a duplicate
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"in order", []step{{0, 0, 3, nil, -1}, {0, 3, 1, nil, -1}, {0, 4, 2, nil, -1}}},
		{"any sequence is right for an unknown producer", []step{{0, 33, 1, nil, -1}, {0, 34, 1, nil, -1}}},
		{"a gap is refused", []step{{0, 0, 1, nil, -1}, {0, 2, 1, kerr.OutOfOrderSequenceNumber, -1}, {0, 1, 1, nil, -1}}},
		{"the last five batches are recognised", []step{{0, 0, 2, nil, -1}, {0, 2, 2, nil, -1}, {0, 4, 2, nil, -1}, {0, 6, 2, nil, -1}, {0, 8, 2, nil, -1},
			{0, 0, 2, nil, 0}, {0, 8, 2, nil, 8}, {0, 10, 1, nil, -1}, {0, 0, 2, kerr.OutOfOrderSequenceNumber, -1}, {0, 2, 2, nil, 2}}},
		{"a duplicate has the same first and last sequence", []step{{0, 0, 2, nil, -1}, {0, 0, 1, kerr.OutOfOrderSequenceNumber, -1}, {0, 1, 1, kerr.OutOfOrderSequenceNumber, -1}}},
		{"a new epoch begins at 0", []step{{0, 0, 2, nil, -1}, {1, 2, 1, kerr.OutOfOrderSequenceNumber, -1}, {1, 0, 1, nil, -1}}},
		{"an old epoch is refused", []step{{1, 0, 2, nil, -1}, {0, 2, 1, kerr.InvalidProducerEpoch, -1}}},
		{"a new epoch forgets the old batches", []step{{0, 0, 2, nil, -1}, {1, 0, 2, nil, -1}, {1, 0, 2, nil, 2}}},
		{"the sequence wraps within a batch", []step{{0, math.MaxInt32 - 1, 4, nil, -1}, {0, 2, 1, nil, -1}, {0, math.MaxInt32 - 1, 4, nil, 0}}},
		{"the sequence wraps between batches", []step{{0, math.MaxInt32, 1, nil, -1}, {0, 0, 1, nil, -1}, {0, math.MaxInt32, 1, nil, 0}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEnv(t, nil)
			e.open()
			l := e.log("t", 0)
			for i, s := range tc.steps {
				end := l.EndOffset()
				info, err := l.AppendAsLeader(producerBatchOf(7, s.epoch, s.seq, s.n, false), AppendOptions{})
				switch {
				case s.want != nil:
					if !errors.Is(err, s.want) || l.EndOffset() != end {
						t.Fatalf("step %d: %v at %d, want %v", i, err, l.EndOffset(), s.want)
					}
				case err != nil:
					t.Fatalf("step %d: %v", i, err)
				case s.dup >= 0:
					if !info.Duplicate || info.FirstOffset != s.dup || info.LastOffset != s.dup+int64(s.n)-1 || l.EndOffset() != end || info.LogAppendTime != 1000+int64(s.n)-1 {
						t.Fatalf("step %d: %+v, want a duplicate of %d", i, info, s.dup)
					}
				case info.Duplicate || info.FirstOffset != end || l.EndOffset() != end+int64(s.n):
					t.Fatalf("step %d: %+v", i, info)
				}
			}
		})
	}
}

func TestSeveralBatchesOfAProducerInOneAppend(t *testing.T) {
	e := newEnv(t, nil)
	e.open()
	l := e.log("t", 0)
	p := append(producerBatchOf(7, 0, 0, 2, false), producerBatchOf(7, 0, 2, 2, false)...)
	// Base offsets are the leader's business for coordinators; a client sends one batch.
	if _, err := l.AppendAsLeader(p, AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	q := append(producerBatchOf(7, 0, 4, 2, false), producerBatchOf(7, 0, 7, 2, false)...)
	if _, err := l.AppendAsLeader(q, AppendOptions{}); !errors.Is(err, kerr.OutOfOrderSequenceNumber) || l.EndOffset() != 4 {
		t.Fatalf("%v at %d", err, l.EndOffset())
	}
	if got := l.Producers()[0].LastSequence; got != 3 {
		t.Errorf("last sequence %d after a refused append, want 3", got)
	}
}

func TestTransactions(t *testing.T) {
	e := newEnv(t, nil)
	e.open()
	l := e.log("t", 0)
	must := func(p []byte, o Origin) {
		t.Helper()
		if _, err := l.AppendAsLeader(p, AppendOptions{Origin: o}); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(p []byte, o Origin, want error) {
		t.Helper()
		if _, err := l.AppendAsLeader(p, AppendOptions{Origin: o}); !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	lso := func(want int64) {
		t.Helper()
		l.SetHighWatermark(l.EndOffset())
		if got := l.LastStableOffset(); got != want {
			t.Fatalf("last stable offset %d, want %d", got, want)
		}
	}
	must(producerBatchOf(1, 0, 0, 2, true), OriginClient) // 0-1
	lso(0)
	refused(producerBatchOf(1, 0, 2, 1, false), OriginClient, kerr.InvalidTxnState)
	must(producerBatchOf(2, 0, 0, 1, true), OriginClient)      // 2
	must(plainBatch(1, 1, 1), OriginClient)                    // 3
	must(endTxn(1, 0, 5, batch.ControlAbort), OriginTxnMarker) // 4
	lso(2)                                                     // producer 2 is open
	refused(endTxn(1, 0, 4, batch.ControlCommit), OriginTxnMarker, kerr.TransactionCoordinatorFenced)
	refused(endTxn(2, -1, 4, batch.ControlCommit), OriginTxnMarker, kerr.InvalidProducerEpoch)
	must(endTxn(2, 1, 5, batch.ControlCommit), OriginTxnMarker) // 5: a marker may raise the epoch
	lso(6)
	refused(producerBatchOf(2, 0, 1, 1, true), OriginClient, kerr.InvalidProducerEpoch)
	if diff := cmp.Diff([]AbortedTxn{{1, 0}}, abortedTxns(t, l, 0, 6)); diff != "" {
		t.Error(diff)
	}
	if got := abortedTxns(t, l, 5, 6); len(got) != 0 {
		t.Errorf("aborted after its marker: %v", got)
	}
	// A transaction that is over but whose marker is not replicated holds the last stable offset.
	must(producerBatchOf(3, 0, 0, 1, true), OriginClient)       // 6
	must(endTxn(3, 0, 5, batch.ControlCommit), OriginTxnMarker) // 7
	l.SetHighWatermark(7)
	if got := l.LastStableOffset(); got != 6 {
		t.Errorf("last stable offset %d while the marker is not replicated, want 6", got)
	}
	lso(8)
	refused(endTxn(9, 0, 5, batch.ControlCommit), OriginClient, kerr.InvalidRecord)
}

func TestVerificationGuard(t *testing.T) {
	e := newEnv(t, nil)
	e.open()
	l := e.log("t", 0)
	add := func(seq int32, g *VerificationGuard) error {
		_, err := l.AppendAsLeader(producerBatchOf(1, 0, seq, 1, true), AppendOptions{Guard: g, RequireVerified: true})
		return err
	}
	start := func(epoch int16, seq int32, adds bool) *VerificationGuard {
		t.Helper()
		g, err := l.StartVerification(1, epoch, seq, adds)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	if err := add(0, nil); !errors.Is(err, kerr.InvalidTxnState) {
		t.Fatalf("without verification: %v", err)
	}
	g := start(0, 0, false)
	if g == nil {
		t.Fatal("no guard for a transaction that is not open")
	}
	// The transaction ends while the coordinator is asked.
	if _, err := l.AppendAsLeader(endTxn(1, 0, 1, batch.ControlAbort), AppendOptions{Origin: OriginTxnMarker}); err != nil {
		t.Fatal(err)
	}
	if err := add(0, g); !errors.Is(err, kerr.InvalidTxnState) {
		t.Fatalf("with a guard from before the marker: %v", err)
	}
	g = start(0, 0, false)
	if err := add(0, g); err != nil {
		t.Fatal(err)
	}
	if g := start(0, 1, false); g != nil {
		t.Error("a guard for an open transaction")
	}
	if err := add(1, nil); err != nil {
		t.Errorf("in an open transaction: %v", err)
	}
	if _, err := l.AppendAsLeader(endTxn(1, 1, 1, batch.ControlCommit), AppendOptions{Origin: OriginTxnMarker}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.StartVerification(1, 0, 2, false); !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("in the epoch before: %v", err)
	}
}

// With transactions of version 2 (KIP-890) each transaction has an epoch of its own, which its marker raises.
func TestTransactionsOfVersion2(t *testing.T) {
	e := newEnv(t, nil)
	e.open()
	l := e.log("t", 0)
	write := func(epoch int16, seq int32) error {
		g, err := l.StartVerification(1, epoch, seq, true)
		if err != nil {
			return err
		}
		_, err = l.AppendAsLeader(producerBatchOf(1, epoch, seq, 1, true), AppendOptions{Guard: g, RequireVerified: true})
		return err
	}
	end := func(epoch int16) error {
		_, err := l.AppendAsLeader(endTxn(1, epoch, 1, batch.ControlCommit), AppendOptions{Origin: OriginTxnMarker, RaisesEpoch: true})
		return err
	}
	for _, step := range []struct {
		what string
		err  error
		want *kerr.Error
	}{
		{"a first sequence that is not 0", write(0, 1), kerr.OutOfOrderSequenceNumber},
		{"the first batch", write(0, 0), nil},
		{"the next batch", write(0, 1), nil},
		{"the marker", end(1), nil},
		{"the marker again", end(1), nil},
		{"a batch in the epoch before", write(0, 2), kerr.InvalidProducerEpoch},
		{"a first sequence that is not 0 in the next transaction", write(1, 2), kerr.OutOfOrderSequenceNumber},
		{"the next transaction", write(1, 0), nil},
		{"the marker of the first one, late", end(1), kerr.InvalidProducerEpoch},
		{"a marker of long ago", end(0), kerr.InvalidProducerEpoch},
		{"the marker of the next transaction", end(2), nil},
	} {
		if step.want == nil && step.err != nil || step.want != nil && !errors.Is(step.err, step.want) {
			t.Errorf("%s: %v, want %v", step.what, step.err, step.want)
		}
	}
	l.SetHighWatermark(l.EndOffset())
	if lso := l.LastStableOffset(); lso != l.EndOffset() {
		t.Errorf("last stable offset %d, log end offset %d", lso, l.EndOffset())
	}
}

// The coordinator may be asked about the next transaction before the marker of the last one comes.
func TestMarkerOfVersion2LeavesTheNextTransaction(t *testing.T) {
	for _, c := range []struct {
		name        string
		raises      bool
		markerEpoch int16
		want        error
	}{
		{"the marker of the transaction before", true, 1, nil},
		{"a marker of version 1, which ends the transaction", false, 1, kerr.InvalidTxnState},
		{"the marker of the transaction", true, 2, kerr.InvalidProducerEpoch},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEnv(t, nil)
			e.open()
			l := e.log("t", 0)
			if _, err := l.AppendAsLeader(producerBatchOf(1, 0, 0, 1, true), AppendOptions{}); err != nil {
				t.Fatal(err)
			}
			g, err := l.StartVerification(1, 1, 0, true)
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.AppendAsLeader(endTxn(1, c.markerEpoch, 1, batch.ControlCommit), AppendOptions{Origin: OriginTxnMarker, RaisesEpoch: c.raises})
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.AppendAsLeader(producerBatchOf(1, 1, 0, 1, true), AppendOptions{Guard: g, RequireVerified: true})
			if !errors.Is(err, c.want) {
				t.Errorf("the next transaction's first batch: %v, want %v", err, c.want)
			}
		})
	}
}

// The producer state is a function of the log: whatever way it was come by, it must be the same.
func TestProducerStateSurvives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := newEnv(t, vfs.NewMem())
		defer e.abandon()
		e.mod = func(c *ManagerConfig) { c.manual = true }
		c := modelConfig()
		c.SegmentBytes = 700
		e.cfg["t"] = c
		e.open()
		l := e.log("t", 0)
		seqs := map[int64]int32{}
		open := map[int64]bool{}
		type state struct {
			producers []ProducerInfo
			aborted   []AbortedTxn
			lso       int64
		}
		history := map[int64]state{} // by log end
		look := func() state {
			if end := l.EndOffset(); l.HighWatermark() < end { // a leader sets it only when it moves
				l.SetHighWatermark(end)
			}
			a, err := l.AbortedTransactions(0, l.EndOffset())
			if err != nil {
				rt.Fatal(err)
			}
			return state{l.Producers(), a, l.LastStableOffset()}
		}
		remember := func() { history[l.EndOffset()] = look() }
		compare := func(what string) {
			if diff := cmp.Diff(history[l.EndOffset()], look(), cmp.AllowUnexported(state{})); diff != "" {
				rt.Fatalf("%s (-want +got):\n%s", what, diff)
			}
		}
		remember()
		rt.Repeat(map[string]func(*rapid.T){
			"data": func(rt *rapid.T) {
				id := rapid.Int64Range(1, 4).Draw(rt, "producer")
				n := rapid.IntRange(1, 3).Draw(rt, "records")
				txn := id%2 == 0
				mustAppend(t, l, producerBatchOf(id, 0, seqs[id], n, txn))
				seqs[id] += int32(n)
				open[id] = txn
				remember()
			},
			"marker": func(rt *rapid.T) {
				id := rapid.SampledFrom([]int64{2, 4}).Draw(rt, "producer")
				if !open[id] {
					return
				}
				kind := rapid.SampledFrom([]batch.ControlType{batch.ControlAbort, batch.ControlCommit}).Draw(rt, "kind")
				if _, err := l.AppendAsLeader(endTxn(id, 0, 1, kind), AppendOptions{Origin: OriginTxnMarker}); err != nil {
					rt.Fatal(err)
				}
				open[id] = false
				remember()
			},
			"plain":  func(rt *rapid.T) { mustAppend(t, l, plainBatch(1, 30, 5)); remember() },
			"flush":  func(*rapid.T) { _ = l.Flush() },
			"points": func(*rapid.T) { _ = e.m.Checkpoint() },
			"reopen": func(rt *rapid.T) {
				e.close()
				e.open()
				l = e.m.Log(TopicPartition{"t", 0})
				compare("after a clean stop")
			},
			"kill": func(rt *rapid.T) {
				e.fs = e.fs.(*vfs.Mem).CrashClone(vfs.KeepAll, rand.New(rand.NewPCG(0, 0)))
				e.abandon()
				e.open()
				l = e.m.Log(TopicPartition{"t", 0})
				compare("after a kill")
			},
			"truncate": func(rt *rapid.T) {
				ends := make([]int64, 0, len(history))
				for end := range history {
					if end <= l.EndOffset() {
						ends = append(ends, end)
					}
				}
				slices.Sort(ends)
				to := rapid.SampledFrom(ends).Draw(rt, "to")
				if err := l.TruncateTo(to); err != nil {
					rt.Fatal(err)
				}
				compare("after a truncation")
				for end := range history {
					if end > to {
						delete(history, end)
					}
				}
				for id := range seqs {
					seqs[id], open[id] = 0, false
				}
				for _, p := range l.Producers() {
					seqs[p.ProducerID] = p.LastSequence + 1
					open[p.ProducerID] = p.CurrentTxnFirstOffset >= 0
				}
			},
		})
	})
}

func abortedTxns(t *testing.T, l *Log, from, to int64) []AbortedTxn {
	t.Helper()
	list, err := l.AbortedTransactions(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTimestampOfBatchThatCannotBeOpened(t *testing.T) {
	e := newEnv(t, nil)
	e.open()
	l := e.log("t", 0)
	mustAppend(t, l, plainBatch(2, 10, 100))
	bad := batch.View(plainBatch(3, 10, 200))
	bad[22] |= byte(batch.Gzip) // its records are no gzip stream
	bad.UpdateCRC()
	mustAppend(t, l, bad)
	mustAppend(t, l, plainBatch(2, 10, 300))
	for _, tt := range []struct{ ts, offset int64 }{{100, 0}, {150, 2}, {250, 5}} {
		off, _, _, ok, err := l.OffsetForTimestamp(tt.ts, l.EndOffset())
		if err != nil || !ok || off != tt.offset {
			t.Errorf("first offset at or after %d is %d, %v, %v; want %d", tt.ts, off, ok, err, tt.offset)
		}
	}
}

// A transaction is never below the last stable offset while it is open, whatever readers and high watermark do meanwhile, and holds
// it no longer when its marker is replicated.
func TestLastStableOffsetBesideAppends(t *testing.T) {
	e := newEnv(t, nil)
	e.open()
	l := e.log("t", 0)
	var open atomic.Int64 // first offset of the open transaction, -1 none
	open.Store(-1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.SetHighWatermark(l.EndOffset())
			}
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			first := open.Load()
			lso := l.LastStableOffset()
			if first >= 0 && lso > first && open.Load() == first {
				t.Errorf("last stable offset %d while the transaction from %d is open", lso, first)
				return
			}
		}
	})
	for i := range int32(20_000) {
		open.Store(l.EndOffset())
		mustAppend(t, l, producerBatchOf(1, 0, i, 1, true))
		open.Store(-1)
		if _, err := l.AppendAsLeader(endTxn(1, 0, 1, batch.ControlCommit), AppendOptions{Origin: OriginTxnMarker}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if end := l.EndOffset(); l.HighWatermark() < end {
		l.SetHighWatermark(end)
	}
	if lso, end := l.LastStableOffset(), l.EndOffset(); lso != end {
		t.Errorf("last stable offset %d of a log without open transactions that ends at %d", lso, end)
	}
}
