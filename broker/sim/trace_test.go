package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"
)

// traceKept is how many of the last events a failed run prints.
const traceKept = 2000

// trace is everything that happened, in order: faults, bytes delivered, metadata operations, acknowledgements, reads, log lines.
type trace struct {
	mu     sync.Mutex
	began  time.Time
	hash   hash.Hash
	events int
	last   []string
	all    io.Writer // nil unless everything is to be printed
	failed []string  // promises that were broken
	stuck  string    // why the cluster did not heal
}

func newTrace(all io.Writer) *trace { return &trace{began: time.Now(), hash: sha256.New(), all: all} }

func (t *trace) add(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := fmt.Sprintf("%11.6f %s", time.Since(t.began).Seconds(), text)
	_, _ = io.WriteString(t.hash, line)
	t.events++
	if t.all != nil {
		fmt.Fprintln(t.all, line)
	}
	if len(t.last) >= 2*traceKept {
		t.last = append(t.last[:0], t.last[traceKept:]...)
	}
	t.last = append(t.last, line)
}

func (t *trace) fail(text string) {
	t.add("BROKEN: " + text)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failed) < 10 {
		t.failed = append(t.failed, fmt.Sprintf("%.6f %s", time.Since(t.began).Seconds(), text))
	}
}

func (t *trace) hang(text string) {
	t.add("STUCK: " + text)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stuck = text
}

func (t *trace) sum() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return hex.EncodeToString(t.hash.Sum(nil))[:16]
}

// logWriter puts a process's log lines into the trace while it lives.
type logWriter struct{ p *process }

func (l logWriter) Write(b []byte) (int, error) {
	if !l.p.dead.Load() {
		l.p.node.w.trace.add(fmt.Sprintf("broker %d: %s", l.p.node.id, bytes.TrimSpace(b)))
	}
	return len(b), nil
}
