package txn

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/logtest"
	"ottla/wire/batch"
)

// wantEnd2 ends with V2 and compares the whole answer.
func (r *rig) wantEnd2(what, id string, pid int64, epoch int16, commit bool, nextID int64, nextEpoch, code int16) {
	r.t.Helper()
	gotID, gotEpoch, got := r.end2(id, pid, epoch, commit)
	if gotID != nextID || gotEpoch != nextEpoch || got != code {
		r.t.Errorf("%s: producer %d epoch %d, error %d; want %d, %d, error %d", what, gotID, gotEpoch, got, nextID, nextEpoch, code)
	}
	synctest.Wait()
}

// have makes a record of a transactional id the log's last, and has the coordinator load it.
func (r *rig) have(id string, d metadata, leaderEpoch int32) {
	b := batch.NewBuilder(batch.NewBuilderOptions(0))
	b.Add(0, encodeKey(id), encodeValue(&d), nil)
	r.log.Put(0, b.Build())
	r.c.Resigned(0, -1)
	r.elect(leaderEpoch)
}

// The table of TransactionCoordinator.endTransaction: what an end is answered with, by the state and by whether it has the present epoch or
// the one before.
func TestEndsOfVersion2(t *testing.T) {
	const none = -1
	for _, c := range []struct {
		name   string
		state  State
		before bool // the producer has the epoch before
		commit bool
		raised bool // a new epoch; else the present one if there is no error
		code   int16
	}{
		{name: "abort of nothing", state: Empty, raised: true},
		{name: "commit of nothing", state: Empty, commit: true, code: codeInvalidTxnState},
		{name: "abort of nothing with the epoch before", state: Empty, before: true, code: codeFenced},
		{name: "commit of nothing with the epoch before", state: Empty, before: true, commit: true, code: codeFenced},
		{name: "abort", state: Ongoing, raised: true},
		{name: "commit", state: Ongoing, commit: true, raised: true},
		{name: "abort with the epoch before", state: Ongoing, before: true, code: codeFenced},
		{name: "abort of nothing after an abort", state: CompleteAbort, raised: true},
		{name: "commit of nothing after an abort", state: CompleteAbort, commit: true, code: codeInvalidTxnState},
		{name: "abort again", state: CompleteAbort, before: true},
		{name: "commit of what was aborted", state: CompleteAbort, before: true, commit: true, code: codeInvalidTxnState},
		{name: "abort of nothing after a commit", state: CompleteCommit, raised: true},
		{name: "commit of nothing after a commit", state: CompleteCommit, commit: true, code: codeInvalidTxnState},
		{name: "commit again", state: CompleteCommit, before: true, commit: true},
		{name: "abort of what was committed", state: CompleteCommit, before: true, code: codeInvalidTxnState},
		{name: "commit again meanwhile", state: PrepareCommit, before: true, commit: true, code: codeConcurrent},
		{name: "abort of what is being committed", state: PrepareCommit, before: true, code: codeConcurrent},
		{name: "commit of nothing meanwhile", state: PrepareCommit, commit: true, code: codeConcurrent},
		{name: "abort of nothing meanwhile", state: PrepareCommit, code: codeConcurrent},
		{name: "abort again meanwhile", state: PrepareAbort, before: true, code: codeConcurrent},
		{name: "commit of what is being aborted", state: PrepareAbort, before: true, commit: true, code: codeConcurrent},
		{name: "abort of nothing meanwhile, again", state: PrepareAbort, code: codeConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.answer = func(int32, *kmsg.WriteTxnMarkersRequest, TopicPartition) int16 {
					return kerr.NotLeaderForPartition.Code
				}
				d := newMetadata(5, time.Now().UnixMilli())
				d.producerEpoch, d.timeoutMs, d.state, d.version, d.startMs = 7, 60_000, c.state, V2, 1
				if c.state == Ongoing || c.state.preparing() {
					d.startMs, d.partitions = time.Now().UnixMilli(), map[TopicPartition]struct{}{t0: {}}
				}
				r.have("a", d, 2)
				epoch := int16(7)
				if c.before {
					epoch = 6
				}
				wantID, wantEpoch := int64(5), int16(7)
				if c.raised {
					wantEpoch = 8
				}
				if c.code != 0 {
					wantID, wantEpoch = none, none
				}
				r.wantEnd2(c.name, "a", 5, epoch, c.commit, wantID, wantEpoch, c.code)
				r.wantEnd2("another producer id", "a", 6, epoch, c.commit, none, none, codeInvalidMapping)
				toCome := codeFenced
				if c.state.preparing() || c.state == Ongoing && c.raised {
					toCome = codeConcurrent
				}
				r.wantEnd2("an epoch to come", "a", 5, 9, c.commit, none, none, toCome)
			})
		})
	}
	bubble(t, func(t *testing.T, r *rig) {
		r.wantEnd2("unknown id", "nobody", 5, 0, true, none, none, codeInvalidMapping)
		r.wantEnd2("no id", "", 5, 0, true, none, none, codeInvalidRequest)
	})
}

func TestEachEndOfVersion2RaisesTheEpoch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		for n, commit := range []bool{true, false, true} {
			r.want("add", r.add2("a", pid, epoch, t0, t1), 0)
			r.wantEnd2("end", "a", pid, epoch, commit, pid, epoch+1, 0)
			ms := r.markers()
			if len(ms) != 2 || ms[0].epoch != epoch+1 || ms[0].commit != commit || ms[0].version != V2 {
				t.Errorf("end %d: markers %+v", n, ms)
			}
			r.want("add in the epoch before", r.add2("a", pid, epoch, t0), codeFenced)
			epoch++
		}
		// What was begun with one version may be ended with the other.
		r.want("add", r.add("a", pid, epoch, t0), 0)
		r.wantEnd2("end of version 2", "a", pid, epoch, true, pid, epoch+1, 0)
		epoch++
		r.want("add of version 2", r.add2("a", pid, epoch, t0), 0)
		r.want("end", r.end("a", pid, epoch, true), 0)
		r.wantState("a", "CompleteCommit")
		if ms := r.markers(); len(ms) != 2 || ms[1].epoch != epoch || ms[1].version != V0 {
			t.Errorf("markers %+v", ms)
		}
		r.want("end of version 1 with the epoch before", r.end("a", pid, epoch-1, true), codeFenced)
		// A producer that fell out of step asks with what it had.
		p, e, code := r.c.InitProducerID(t.Context(), "a", 60_000, pid, epoch)
		if p != pid || e != epoch+1 || code != 0 {
			t.Errorf("init gives %d, %d, error %d", p, e, code)
		}
	})
}

// The last epoch is for the coordinator: the producer goes on with another producer id, also at the next coordinator.
func TestUsedUpEpochsOfVersion2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, logtest.New(), Config{}).elect(1)
		d := newMetadata(5, time.Now().UnixMilli())
		d.producerEpoch, d.timeoutMs, d.state, d.version = math.MaxInt16-1, 60_000, CompleteCommit, V2
		r.have("a", d, 2)
		r.want("add", r.add2("a", 5, math.MaxInt16-1, t0), 0)
		r.answer = func(int32, *kmsg.WriteTxnMarkersRequest, TopicPartition) int16 {
			return kerr.NotLeaderForPartition.Code
		}
		r.wantEnd2("end", "a", 5, math.MaxInt16-1, true, 1001, 0, 0)
		r.wantEnd2("end meanwhile", "a", 5, math.MaxInt16-1, true, -1, -1, codeConcurrent)
		r.want("add with the new producer id meanwhile", r.add2("a", 1001, 0, t0), codeConcurrent)
		r.wantEnd2("abort of nothing with the new producer id meanwhile", "a", 1001, 0, false, -1, -1, codeConcurrent)
		r.want("add with an epoch of it that nobody has", r.add2("a", 1001, 1, t0), codeInvalidMapping)
		r.c.Resigned(0, 3)
		second := newRig(t, r.log, Config{}).elect(3)
		r.c.Close()
		defer second.c.Close()
		if ms := second.markers(); len(ms) != 1 || ms[0].producerID != 5 || ms[0].epoch != math.MaxInt16 {
			t.Errorf("markers %+v", ms)
		}
		second.wantState("a", "CompleteCommit")
		second.wantEnd2("end again", "a", 5, math.MaxInt16-1, true, 1001, 0, 0)
		second.wantEnd2("the other end", "a", 5, math.MaxInt16-1, false, -1, -1, codeInvalidTxnState)
		second.want("add", second.add2("a", 1001, 0, t0), 0)
		second.wantEnd2("end again while the next is open", "a", 5, math.MaxInt16-1, true, -1, -1, codeInvalidMapping)
	})
}

func TestFencingWithTheLastEpoch(t *testing.T) {
	last := func(r *rig) {
		d := newMetadata(5, time.Now().UnixMilli())
		d.producerEpoch, d.timeoutMs, d.state, d.version = math.MaxInt16-1, 60_000, CompleteCommit, V2
		r.have("a", d, 2)
		r.want("add", r.add2("a", 5, math.MaxInt16-1, t0), 0)
	}
	t.Run("by another producer", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			last(r)
			_, _, code := r.c.InitProducerID(t.Context(), "a", 60_000, -1, -1)
			r.want("init while open", code, codeConcurrent)
			r.wantState("a", "CompleteAbort")
			if pid, epoch := r.init("a"); pid != 1001 || epoch != 1 {
				t.Errorf("got %d, %d", pid, epoch)
			}
		})
	})
	t.Run("by time", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			last(r)
			time.Sleep(80 * time.Second)
			r.wantState("a", "CompleteAbort")
			r.wantEnd2("the late end", "a", 5, math.MaxInt16-1, false, -1, -1, codeFenced)
			if pid, epoch := r.init("a"); pid == 5 || epoch != 0 {
				t.Errorf("got %d, %d", pid, epoch)
			}
		})
	})
}

// A producer whose transaction was aborted because of its age gets to know when it ends it, and goes on.
func TestOverdueTransactionOfVersion2(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		r.want("add", r.add2("a", pid, epoch, t0), 0)
		time.Sleep(80 * time.Second)
		r.wantState("a", "CompleteAbort")
		r.wantEnd2("the late commit", "a", pid, epoch, true, -1, -1, codeInvalidTxnState)
		r.wantEnd2("the late abort", "a", pid, epoch, false, pid, epoch+1, 0)
		r.want("add", r.add2("a", pid, epoch+1, t0), 0)
		r.wantEnd2("commit", "a", pid, epoch+1, true, pid, epoch+2, 0)
	})
}

func TestKafka4sStateIsLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logtest.New()
		eachRecord(t, "kafka-4.3.1.log", func(key, value []byte) {
			b := batch.NewBuilder(batch.NewBuilderOptions(0))
			b.Add(0, key, value, nil)
			log.Put(0, b.Build())
		})
		r := newRig(t, log, Config{IDExpiration: 1 << 60}).elect(1)
		defer r.c.Close()
		r.wantState("transactions-2-end-tx", "CompleteAbort")
		r.wantState("transactions-2-used-up-epochs-tx-fenced", "Empty")
		d := r.c.Describe(t.Context(), "transactions-2-end-tx")
		r.wantEnd2("the last end again", "transactions-2-end-tx", d.ProducerID, d.ProducerEpoch-1, false, d.ProducerID, d.ProducerEpoch, 0)
	})
}

// The coordinator moves between PrepareX and CompleteX; the next one finishes what is decided, and knows a repetition.
func TestCoordinatorOfVersion2Moves(t *testing.T) {
	for _, commit := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			first := newRig(t, logtest.New(), Config{}).elect(1)
			first.answer = func(int32, *kmsg.WriteTxnMarkersRequest, TopicPartition) int16 {
				return kerr.NotLeaderForPartition.Code
			}
			pid, epoch := first.init("a")
			first.want("add", first.add2("a", pid, epoch, t0, t1), 0)
			first.wantEnd2("end", "a", pid, epoch, commit, pid, epoch+1, 0)
			first.want("add in the next epoch meanwhile", first.add2("a", pid, epoch+1, t0), codeConcurrent)
			first.c.Resigned(0, 2)
			second := newRig(t, first.log, Config{}).elect(2)
			defer second.c.Close()
			synctest.Wait()
			ms := second.markers()
			if len(ms) != 2 || ms[0].coordinatorEpoch != 2 || ms[0].commit != commit || ms[0].epoch != epoch+1 || ms[0].version != V2 {
				t.Errorf("markers %+v", ms)
			}
			first.wantEnd2("end again at the deposed one", "a", pid, epoch, commit, -1, -1, codeNotCoordinator)
			second.wantEnd2("end again", "a", pid, epoch, commit, pid, epoch+1, 0)
			second.wantEnd2("the other end", "a", pid, epoch, !commit, -1, -1, codeInvalidTxnState)
			second.want("add in the next epoch", second.add2("a", pid, epoch+1, t0), 0)
			first.c.Close()
		})
	}
}

func TestVersion2LeavesNothingHanging(t *testing.T) {
	t.Run("a deleted topic needs no marker", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			pid, epoch := r.init("a")
			r.want("add", r.add2("a", pid, epoch, t0, t1), 0)
			r.mu.Lock()
			r.leaders[t0], r.deleted[t0] = -2, true
			r.mu.Unlock()
			r.wantEnd2("end", "a", pid, epoch, true, pid, epoch+1, 0)
			time.Sleep(250 * time.Millisecond)
			r.wantState("a", "CompleteCommit")
			if ms := r.markers(); len(ms) != 1 || ms[0].tp != t1 {
				t.Errorf("markers %+v", ms)
			}
		})
	})
	t.Run("an end that was not stored is none", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			pid, epoch := r.init("a")
			r.want("add", r.add2("a", pid, epoch, t0), 0)
			r.log.FailAppends(func(int32, batch.View) error { return kerr.NotEnoughReplicas })
			r.wantEnd2("end", "a", pid, epoch, true, -1, -1, codeNotAvailable)
			r.log.FailAppends(nil)
			r.wantState("a", "Ongoing")
			r.wantEnd2("end", "a", pid, epoch, true, pid, epoch+1, 0)
			r.wantState("a", "CompleteCommit")
		})
	})
}

func TestBadInputToVersion2(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		for _, c := range []struct {
			name      string
			got, want int16
		}{
			{"add with an unknown id", r.add2("nobody", pid, epoch, t0), codeInvalidMapping},
			{"add with an empty id", r.add2("", pid, epoch, t0), codeInvalidRequest},
			{"add with another producer id", r.add2("a", pid+1, epoch, t0), codeInvalidMapping},
			{"add with an older epoch", r.add2("a", pid, epoch-1, t0), codeFenced},
			{"add with a newer epoch", r.add2("a", pid, epoch+1, t0), codeFenced},
			{"verify what was not added", r.c.VerifyPartitions(t.Context(), "a", pid, epoch, []TopicPartition{t0})[0], codeAbortable},
		} {
			r.want(c.name, c.got, c.want)
		}
		r.wantState("a", "Empty")
	})
}
