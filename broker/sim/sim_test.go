package sim

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var (
	seedFlag  = flag.Uint64("sim.seed", 0, "the one seed to run")
	firstFlag = flag.Uint64("sim.first", 1, "the first of the seeds to run")
	everyFlag = flag.Bool("sim.every", false, "tell of every seed")
	seedsFlag = flag.Int("sim.seeds", 10, "how many seeds to run")
)

// The lines with which a run ends: what it was, and that it broke a promise or did not heal.
const (
	outcome = "OUTCOME"
	broken  = "BROKEN:"
	stuck   = "STUCK:"
)

// TestSeed is one run, in a process of its own: pooled buffers hold channels, which must not go from one bubble to another. Without -sim.seed
// there is nothing to do: TestSeeds starts it.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		return
	}
	cryptotest.SetGlobalRandom(t, *seedFlag)
	var tr *trace
	var w *world
	var all bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		seedRuntime(*seedFlag)
		tr = newTrace(nil)
		if testing.Verbose() {
			tr.all = &all
		}
		w = newWorld(t, *seedFlag, tr)
		w.run()
	})
	_, _ = io.Copy(os.Stdout, &all)
	for _, text := range tr.failed {
		t.Error(broken, text)
	}
	if tr.stuck != "" {
		t.Error(stuck, tr.stuck)
	}
	acked, fixed, epochs := w.hist.numbers()
	fmt.Printf("%s seed %d: %d events, hash %s, %d records acknowledged, %d readable, %d leader epochs\n", outcome, *seedFlag, tr.events, tr.sum(), acked, fixed, epochs)
}

// result is how a run ended.
type result struct {
	seed    uint64
	outcome string // the line; empty if it did not come to it
	output  string
	failed  bool
	broken  bool // a promise was broken
}

// runLimit is how long one run may take: a run that hangs in a lock is a failed one.
const runLimit = 30 * time.Second

// runSeed runs a seed in a process with one processor, without garbage collection and preemption.
func runSeed(t *testing.T, seed uint64) result {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestSeed$", fmt.Sprint("-sim.seed=", seed), fmt.Sprint("-test.timeout=", runLimit))
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1", "GOGC=off")
	out, err := cmd.CombinedOutput()
	r := result{seed: seed, output: string(out), failed: err != nil}
	for line := range strings.Lines(r.output) {
		if strings.HasPrefix(line, outcome) {
			r.outcome = strings.TrimSpace(line)
		}
		r.broken = r.broken || strings.Contains(line, broken)
	}
	return r
}

// runSeeds runs -sim.seeds seeds, as many at once as there are processors, until look, which sees each result, has said limit times to stop.
func runSeeds(t *testing.T, limit int64, look func(result) (failed bool)) (ran int64) {
	var next, done, failed atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range runtime.NumCPU() {
		wg.Go(func() {
			for failed.Load() < limit && t.Context().Err() == nil {
				n := next.Add(1) - 1
				if n >= int64(*seedsFlag) {
					return
				}
				r := runSeed(t, *firstFlag+uint64(n))
				done.Add(1)
				mu.Lock()
				if look(r) {
					failed.Add(1)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return done.Load()
}
