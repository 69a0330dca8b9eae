package txn

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/coordinator/logtest"
	"ottla/wire/batch"
)

var t0, t1 = TopicPartition{"t", 0}, TopicPartition{"t", 1}

func TestTransactionGoesFromInitToComplete(t *testing.T) {
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprintf("commit=%v", commit), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				pid, epoch := r.init("a")
				if epoch != 0 {
					t.Errorf("the first epoch is %d", epoch)
				}
				r.wantState("a", "Empty")
				r.want("add", r.add("a", pid, epoch, t0, t1), 0)
				r.wantState("a", "Ongoing")
				r.want("end", r.end("a", pid, epoch, commit), 0)
				if commit {
					r.wantState("a", "CompleteCommit")
				} else {
					r.wantState("a", "CompleteAbort")
				}
				ms := r.markers()
				if len(ms) != 2 {
					t.Fatalf("markers: %+v", ms)
				}
				for _, m := range ms {
					if m.producerID != pid || m.epoch != epoch || m.commit != commit || m.coordinatorEpoch != 1 {
						t.Errorf("marker %+v", m)
					}
				}
				r.want("end again", r.end("a", pid, epoch, commit), 0)
				r.want("the other end", r.end("a", pid, epoch, !commit), codeInvalidTxnState)
			})
		})
	}
}

func TestBadInputGetsKafkasCodes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		for _, c := range []struct {
			name      string
			got, want int16
		}{
			{"add with an unknown id", r.add("nobody", pid, epoch, t0), codeInvalidMapping},
			{"add with an empty id", r.add("", pid, epoch, t0), codeInvalidRequest},
			{"add with another producer id", r.add("a", pid+1, epoch, t0), codeInvalidMapping},
			{"add with an older epoch", r.add("a", pid, epoch-1, t0), codeFenced},
			{"add with a newer epoch", r.add("a", pid, epoch+1, t0), codeFenced},
			{"end without a transaction", r.end("a", pid, epoch, true), codeInvalidTxnState},
			{"end with an unknown id", r.end("nobody", pid, epoch, true), codeInvalidMapping},
			{"verify what was not added", r.c.VerifyPartitions(t.Context(), "a", pid, epoch, []TopicPartition{t0})[0], codeAbortable},
			{"verify with another producer id", r.c.VerifyPartitions(t.Context(), "a", pid+1, epoch, []TopicPartition{t0})[0], codeInvalidMapping},
			{"describe an unknown id", r.c.Describe(t.Context(), "nobody").ErrorCode, codeNotFound},
			{"describe an empty id", r.c.Describe(t.Context(), "").ErrorCode, codeInvalidRequest},
		} {
			r.want(c.name, c.got, c.want)
		}
		for timeout, want := range map[int32]int16{0: codeInvalidTimeout, -1: codeInvalidTimeout, 900_001: codeInvalidTimeout, 900_000: 0} {
			_, _, code := r.c.InitProducerID(t.Context(), "b", timeout, -1, -1)
			r.want(fmt.Sprintf("timeout %d", timeout), code, want)
		}
	})
}

func TestInitFencesWhatIsOpen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		r.want("add", r.add("a", pid, epoch, t0), 0)
		_, _, code := r.c.InitProducerID(t.Context(), "a", 60_000, -1, -1)
		r.want("init while open", code, codeConcurrent)
		r.wantState("a", "CompleteAbort")
		if ms := r.markers(); len(ms) != 1 || ms[0].commit || ms[0].epoch != epoch+1 {
			t.Errorf("markers %+v", ms)
		}
		_, e := r.init("a")
		if e != epoch+2 {
			t.Errorf("epoch %d, want %d", e, epoch+2)
		}
		r.want("the zombie's add", r.add("a", pid, epoch, t0), codeFenced)
		r.want("the zombie's end", r.end("a", pid, epoch, true), codeFenced)
	})
}

// KIP-360: a producer says what it has, a repetition gets the same answer, and who was replaced is fenced.
func TestInitWithEpoch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		for range 2 {
			p, e, code := r.c.InitProducerID(t.Context(), "a", 60_000, pid, epoch)
			if p != pid || e != epoch+1 || code != 0 {
				t.Errorf("got %d, %d, error %d", p, e, code)
			}
		}
		r.init("a")
		_, _, code := r.c.InitProducerID(t.Context(), "a", 60_000, pid, epoch+1)
		r.want("init with a replaced epoch", code, codeFenced)
		_, _, code = r.c.InitProducerID(t.Context(), "a", 60_000, pid+7, 0)
		r.want("init with a foreign producer id", code, codeFenced)
	})
}

func TestUsedUpEpochsGiveANewProducerID(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		d := metadata{producerID: 5, producerEpoch: 32766, timeoutMs: 1000, state: CompleteCommit, lastUpdateMs: time.Now().UnixMilli(), startMs: -1}
		opt := batch.NewBuilderOptions(0)
		b := batch.NewBuilder(opt)
		b.Add(0, encodeKey("a"), encodeValue(&d), nil)
		r.log.Put(0, b.Build())
		r.c.Resigned(0, -1)
		r.elect(2)
		for range 2 { // the second is a repetition whose answer was lost
			pid, epoch, code := r.c.InitProducerID(t.Context(), "a", 60_000, 5, 32766)
			if code != 0 || pid != 1001 || epoch != 0 {
				t.Errorf("got %d, %d, error %d", pid, epoch, code)
			}
		}
	})
}

func TestOverdueTransactionIsAborted(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		r.want("add", r.add("a", pid, epoch, t0), 0)
		time.Sleep(59 * time.Second)
		r.wantState("a", "Ongoing")
		time.Sleep(12 * time.Second)
		r.wantState("a", "CompleteAbort")
		if ms := r.markers(); len(ms) != 1 || ms[0].epoch != epoch+1 {
			t.Errorf("markers %+v", ms)
		}
		r.want("the late end", r.end("a", pid, epoch, true), codeFenced)
	})
}

func TestIdleIDsAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.init("idle")
		pid, epoch := r.init("open")
		r.c.cfg.MaxTimeout = 30 * 24 * time.Hour
		time.Sleep(6 * 24 * time.Hour)
		pid, epoch, _ = r.c.InitProducerID(t.Context(), "open", int32(20*24*time.Hour/time.Millisecond), pid, epoch)
		r.want("add", r.add("open", pid, epoch, t0), 0)
		time.Sleep(10 * 24 * time.Hour)
		r.want("describe", r.c.Describe(t.Context(), "idle").ErrorCode, codeNotFound)
		r.wantState("open", "Ongoing")
		batches := r.log.Batches(0)
		last := batches[len(batches)-1]
		_ = last.Walk(func(rec *batch.Record) error {
			if rec.Value != nil {
				t.Error("the last record is no tombstone")
			}
			return nil
		})
	})
}

func TestMarkersAreSentUntilTheyAreWritten(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.UnknownTopicOrPartition, kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas,
		kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError} {
		t.Run(code.Message, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				pid, epoch := r.init("a")
				r.want("add", r.add("a", pid, epoch, t0, t1), 0)
				r.answer = func(broker int32, _ *kmsg.WriteTxnMarkersRequest, tp TopicPartition) int16 {
					if tp == t1 && broker == 1 {
						return code.Code
					}
					return 0
				}
				r.want("end", r.end("a", pid, epoch, true), 0)
				time.Sleep(250 * time.Millisecond)
				r.wantState("a", "PrepareCommit")
				r.want("end meanwhile", r.end("a", pid, epoch, true), codeConcurrent)
				r.want("the other end meanwhile", r.end("a", pid, epoch, false), codeConcurrent)
				r.want("add meanwhile", r.add("a", pid, epoch, t0), codeConcurrent)
				n := 0
				for _, m := range r.markers() {
					if m.tp == t0 {
						n++
					}
				}
				if n != 1 {
					t.Errorf("the marker that was written was sent %d times", n)
				}
				r.mu.Lock()
				r.leaders[t1] = 2
				r.mu.Unlock()
				time.Sleep(150 * time.Millisecond)
				r.wantState("a", "CompleteCommit")
			})
		})
	}
}

func TestDeletedTopicNeedsNoMarker(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		r.want("add", r.add("a", pid, epoch, t0, t1), 0)
		r.mu.Lock()
		r.leaders[t0], r.leaders[t1] = -2, -1
		r.deleted[t0] = true
		r.mu.Unlock()
		r.want("end", r.end("a", pid, epoch, true), 0)
		r.wantState("a", "PrepareCommit")
		r.mu.Lock()
		r.leaders[t1], r.deleted[t1] = -2, true
		r.mu.Unlock()
		time.Sleep(250 * time.Millisecond)
		r.wantState("a", "CompleteCommit")
		if ms := r.markers(); len(ms) != 0 {
			t.Errorf("markers %+v", ms)
		}
	})
}

// A broker that has just started may be a coordinator before the controller has told it of the partitions: they are not deleted.
func TestUnknownTopicGetsItsMarkerLater(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		r.want("add", r.add("a", pid, epoch, t0, t1), 0)
		r.mu.Lock()
		r.leaders[t0], r.leaders[t1] = -2, -2
		r.mu.Unlock()
		r.want("end", r.end("a", pid, epoch, true), 0)
		time.Sleep(time.Second)
		r.wantState("a", "PrepareCommit")
		r.mu.Lock()
		r.leaders[t0], r.leaders[t1] = 1, 2
		r.mu.Unlock()
		time.Sleep(150 * time.Millisecond)
		r.wantState("a", "CompleteCommit")
		if ms := r.markers(); len(ms) != 2 {
			t.Errorf("markers %+v", ms)
		}
	})
}

// The coordinator moves after each of the states of a transaction; the next one finishes what is decided.
func TestCoordinatorMoves(t *testing.T) {
	for _, commit := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			first := newRig(t, logtest.New(), Config{}).elect(1)
			first.answer = func(int32, *kmsg.WriteTxnMarkersRequest, TopicPartition) int16 {
				return kerr.NotLeaderForPartition.Code
			}
			pid, epoch := first.init("a")
			first.want("add", first.add("a", pid, epoch, t0, t1), 0)
			first.want("end", first.end("a", pid, epoch, commit), 0)
			synctest.Wait()
			first.c.Resigned(0, 2)
			second := newRig(t, first.log, Config{}).elect(2)
			defer second.c.Close()
			if commit {
				second.wantState("a", "CompleteCommit")
			} else {
				second.wantState("a", "CompleteAbort")
			}
			ms := second.markers()
			if len(ms) != 2 || ms[0].coordinatorEpoch != 2 || ms[0].commit != commit {
				t.Errorf("markers %+v", ms)
			}
			first.markers()
			time.Sleep(time.Second)
			if ms := first.markers(); len(ms) != 0 {
				t.Errorf("the deposed coordinator still sent %+v", ms)
			}
			first.want("add at the deposed one", first.add("a", pid, epoch, t0), codeNotCoordinator)
			second.want("add", second.add("a", pid, epoch, t0), 0)
			first.c.Close()
		})
	}
}

func TestNothingIsSentBeforeTheOutcomeIsCommitted(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		r.want("add", r.add("a", pid, epoch, t0), 0)
		r.log.HoldHighWatermark(true)
		r.want("end", r.end("a", pid, epoch, true), codeNotAvailable) // after the commit timeout
		if ms := r.markers(); len(ms) != 0 {
			t.Errorf("markers %+v", ms)
		}
		r.log.HoldHighWatermark(false)
		time.Sleep(time.Second)
		r.wantState("a", "CompleteCommit")
	})
}

func TestFailedAppendChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		pid, epoch := r.init("a")
		r.want("add", r.add("a", pid, epoch, t0), 0)
		r.log.FailAppends(func(int32, batch.View) error { return kerr.NotEnoughReplicas })
		r.want("end", r.end("a", pid, epoch, true), codeNotAvailable)
		_, _, code := r.c.InitProducerID(t.Context(), "a", 60_000, -1, -1)
		r.want("init", code, codeNotAvailable)
		r.log.FailAppends(nil)
		r.wantState("a", "Ongoing")
		r.want("end", r.end("a", pid, epoch, true), 0)
		// CompleteX that cannot be written is written later.
		r.markers()
		r.wantState("a", "CompleteCommit")
		r.want("add", r.add("a", pid, epoch, t0), 0)
		n := 0
		r.log.FailAppends(func(int32, batch.View) error {
			if n++; n == 2 {
				return kerr.NotEnoughReplicas
			}
			return nil
		})
		r.want("end", r.end("a", pid, epoch, false), 0)
		r.wantState("a", "PrepareAbort")
		time.Sleep(time.Second)
		r.wantState("a", "CompleteAbort")
	})
}

func TestKafkasStateIsLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := logtest.New()
		segment, err := os.ReadFile("testdata/clean-1.log")
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Load(0, segment); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, log, Config{IDExpiration: 1 << 60}).elect(1)
		defer r.c.Close()
		r.wantState("tx-open", "Ongoing")
		r.wantState("tx-b", "CompleteAbort")
		resp := r.c.List(t.Context(), &kmsg.ListTransactionsRequest{Version: 1, DurationFilterMillis: -1, StateFilters: []string{"Ongoing", "Nonsense"}})
		if len(resp.TransactionStates) != 1 || resp.TransactionStates[0].TransactionalID != "tx-open" || !slices.Equal(resp.UnknownStateFilters, []string{"Nonsense"}) {
			t.Errorf("list: %+v", resp)
		}
	})
}
