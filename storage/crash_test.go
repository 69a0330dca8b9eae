package storage

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"ottla/storage/vfs"
	"ottla/wire/batch"
)

var crashSeeds = flag.Int("crash-seeds", 400, "how many seeds TestCrash runs")

// crashRun is one run of a random workload on a disk that crashes at a random moment, and what must be true afterwards.
type crashRun struct {
	rnd    *rand.Rand
	mem    *vfs.Mem
	fault  func(vfs.Op) vfs.Fault // further faults, may be nil
	sync   bool                   // flush.messages=1
	mode   vfs.CrashMode
	crash  int // the crash comes before this change of the disk
	count  int
	clone  *vfs.Mem
	log    zerolog.Logger
	trace  []string
	tracks map[int32]*crashTrack

	keyed   keyedTrack
	deleted deletedTrack
	doing   string         // the step under way
	steps   map[string]int // how often each was begun
	during  string         // the step that the crash interrupted
	at      vfs.OpKind     // the change of the disk that it came before
	moves   int            // done before the crash
}

// crashTrack is one partition: what it is, what it may also be while an operation is under way, and what was promised.
type crashTrack struct {
	now, next *model
	promised  int64 // everything below is on disk

	// as of the crash
	atCrash  []*model
	atPledge int64
}

const crashTopic = "t"

var crashDirs = []string{"/data", "/more"}

func crashConfig(sync bool) LogConfig {
	c := modelConfig()
	c.SegmentBytes = 1200
	if sync {
		c.FlushMessages = 1
	}
	return c
}

func (c *crashRun) config(fsys vfs.FS) ManagerConfig {
	return ManagerConfig{
		Dirs: crashDirs, ClusterID: "c", FS: fsys, LogConfig: c.logConfig,
		ProducerIDExpirationMs: forever, manual: true, Log: c.log,
	}
}

func (c *crashRun) logConfig(topic string) LogConfig {
	cfg := crashConfig(c.sync)
	if topic == keyedTopic {
		cfg.Compact, cfg.Delete, cfg.MinCleanableDirtyRatio = true, false, 0
	}
	return cfg
}

func (c *crashRun) before(op vfs.Op) vfs.Fault {
	if op.Kind.Changes() {
		c.count++
		if c.count == c.crash {
			c.during, c.at = c.doing, op.Kind
			c.keyed.atCrash, c.keyed.atPledge = slices.Clone(c.keyed.written), c.keyed.promised
			c.deleted.atCrash, c.deleted.atPledge = []*life{c.deleted.now, c.deleted.next}, c.deleted.promised
			c.clone = c.mem.CrashClone(c.mode, c.rnd)
			for _, t := range c.tracks {
				t.atCrash = []*model{t.now, t.next}
				t.atPledge = t.promised
			}
		}
	}
	if c.fault != nil {
		return c.fault(op)
	}
	return vfs.Fault{}
}

// run does the workload and returns an error if the disk after the crash is not what it must be.
func (c *crashRun) run() error {
	c.mem = vfs.NewMem()
	c.tracks, c.steps, c.doing = map[int32]*crashTrack{}, map[string]int{}, "open"
	m, err := c.open(&vfs.Faulty{FS: c.mem, Before: c.before})
	if err != nil {
		return err
	}
	defer func() { abandon(m) }()
	for step := 0; c.clone == nil; step++ {
		if step > 3000 {
			return errors.New("the crash never came")
		}
		if m, err = c.step(m); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	return c.verify()
}

// open starts on the disk, with moves that copy a batch or two at a time.
func (c *crashRun) open(fsys vfs.FS) (*Manager, error) {
	m, err := Open(context.Background(), c.config(fsys))
	if err == nil {
		m.mover.chunk = 400
	}
	return m, err
}

func (c *crashRun) step(m *Manager) (*Manager, error) {
	defer func() { c.steps[c.doing]++ }()
	c.doing = "other"
	switch c.rnd.IntN(6) {
	case 0:
		return m, c.stepKeyed(m)
	case 1:
		return m, c.stepDeleted(m)
	}
	p := int32(c.rnd.IntN(2))
	l, err := m.Create(TopicPartition{crashTopic, p}, [16]byte{1}, true)
	if err != nil {
		return m, err
	}
	t := c.tracks[p]
	if t == nil {
		t = &crashTrack{now: &model{}}
		t.next = t.now
		c.tracks[p] = t
	}
	t.next = t.now.clone()
	defer func() {
		if c.clone == nil {
			t.now = t.next
		}
	}()
	what := c.rnd.IntN(150)
	switch {
	case what >= 142:
		dir := l.Dir() // gives a move up
		for _, d := range crashDirs {
			if d != l.Dir() && c.rnd.IntN(4) > 0 {
				dir = d
			}
		}
		c.trace = append(c.trace, fmt.Sprintf("move %d to %s", p, dir))
		return m, m.Move(l.tp, dir)
	case what >= 100:
		c.doing = "move"
		if err := c.copy(m, t, l); err != nil {
			return m, err
		}
	case what < 55:
		c.doing = "append"
		return m, c.append(l, t)
	case what < 63:
		c.trace = append(c.trace, "drain")
		for _, d := range m.dirs {
			d.flusher.drain()
		}
	case what < 70:
		c.doing = "flush"
		c.trace = append(c.trace, "flush")
		if err := l.Flush(); err != nil {
			return m, err
		}
		if c.clone == nil {
			t.promised = t.now.end
		}
	case what < 76:
		c.doing = "truncate"
		return m, c.truncate(l, t)
	case what < 80:
		c.doing = "roll"
		c.trace = append(c.trace, "roll")
		return m, l.Roll()
	case what < 84:
		c.doing = "checkpoint"
		c.trace = append(c.trace, "checkpoint")
		return m, m.Checkpoint()
	case what < 88:
		c.doing = "retain"
		hw := l.SetHighWatermark(t.now.end)
		off := c.rnd.Int64N(hw + 1)
		t.next.start = max(t.next.start, off)
		t.promised = max(t.promised, 0)
		c.trace = append(c.trace, fmt.Sprintf("advance %d to %d", p, off))
		if err := l.AdvanceStartOffset(off); err != nil {
			return m, err
		}
		_, err := l.retain(time.Now())
		return m, err
	case what < 92:
		t.next.epoch++
		return m, l.AssignEpoch(t.next.epoch, t.now.end)
	case what < 95:
		c.trace = append(c.trace, "idle")
		m.closeIdle()
		m.closeIdle()
	case what < 97:
		c.doing = "reopen"
		return c.reopen(m)
	default:
		c.trace = append(c.trace, "sync recovered")
		for _, d := range m.dirs {
			d.recovered.Store(true)
			if err := d.syncRecovered(); err != nil {
				return m, err
			}
		}
	}
	if c.sync && c.clone == nil {
		t.promised = max(t.promised, l.DurableEndOffset())
	}
	return m, nil
}

// copy does a step of a move, which changes nothing that can be seen from outside.
func (c *crashRun) copy(m *Manager, t *crashTrack, l *Log) error {
	f := l.future.Load()
	if f == nil {
		return nil
	}
	var buf []byte
	done, err := m.mover.step(l, f, &buf)
	c.trace = append(c.trace, fmt.Sprintf("copied %d up to %d of %d, moved: %v", l.tp.Partition, f.EndOffset(), l.EndOffset(), done))
	if err != nil || !done {
		return err
	}
	c.moves++
	if l.Dir() != f.Dir() || l.EndOffset() != t.now.end {
		return fmt.Errorf("moved to %s, the log is in %s and ends at %d, not %d", f.Dir(), l.Dir(), l.EndOffset(), t.now.end)
	}
	if got := readBatches(l, l.StartOffset()); !bytes.Equal(got, t.now.from(l.StartOffset(), t.now.end)) {
		return errors.New("the log has other bytes after it has moved")
	}
	return nil
}

func (c *crashRun) append(l *Log, t *crashTrack) error {
	var p []byte
	for range 1 + c.rnd.IntN(2) {
		p = append(p, plainBatch(1+c.rnd.IntN(4), c.rnd.IntN(120), int64(c.rnd.IntN(1000)))...)
	}
	// As the append will make them; recovery may find them before it returns.
	next := t.now.end
	for rest := p; len(rest) > 0; {
		var v batch.View
		v, rest, _ = batch.Next(rest)
		v.SetBaseOffset(next)
		v.SetLeaderEpoch(t.now.epoch)
		next = v.NextOffset()
	}
	t.next.append(p)
	c.trace = append(c.trace, fmt.Sprintf("append %d [%d,%d)", l.tp.Partition, t.now.end, next))
	_, err := l.AppendAsLeader(p, AppendOptions{LeaderEpoch: t.now.epoch, Origin: OriginCoordinator})
	return err
}

func (c *crashRun) truncate(l *Log, t *crashTrack) error {
	if t.now.end == t.now.start {
		return nil
	}
	// A follower does not truncate below its high watermark, and a new leader has a new epoch.
	off := t.now.start + c.rnd.Int64N(t.now.end-t.now.start)
	t.next.truncate(off)
	t.next.epoch++
	if t.promised > off {
		t.promised = off
	}
	t.promised = min(t.promised, t.next.end)
	c.trace = append(c.trace, fmt.Sprintf("truncate %d to %d", l.tp.Partition, off))
	if err := l.TruncateTo(off); err != nil {
		return err
	}
	if c.clone == nil {
		t.next.end = l.EndOffset()
		t.next.start = min(t.next.start, t.next.end)
	}
	return l.AssignEpoch(t.next.epoch, l.EndOffset())
}

// reopen stops cleanly and starts again.
func (c *crashRun) reopen(m *Manager) (*Manager, error) {
	c.trace = append(c.trace, "reopen")
	if err := m.Close(context.Background()); err != nil {
		return m, err
	}
	if c.clone == nil {
		for _, t := range c.tracks {
			t.promised = t.now.end
		}
		c.keyed.promised = c.keyed.end
		if c.deleted.now != nil {
			c.deleted.promised = c.deleted.now.records.end
		}
	}
	return c.open(m.cfg.FS)
}

// verify opens the disk after the crash.
func (c *crashRun) verify() error {
	m, err := c.open(c.clone)
	if err != nil {
		return fmt.Errorf("open after the crash: %w", err)
	}
	defer func() { abandon(m) }()
	for _, d := range m.Dirs() {
		if d.Offline != nil {
			return fmt.Errorf("%s is offline after the crash: %w", d.Path, d.Offline)
		}
	}
	if l := m.Log(TopicPartition{keyedTopic, 0}); l == nil && c.keyed.atPledge > 0 {
		return fmt.Errorf("the compacted log is gone, %d offsets were promised", c.keyed.atPledge)
	} else if l != nil {
		if err := c.keyed.verify(l); err != nil {
			return fmt.Errorf("the compacted log: %w", err)
		}
	}
	if err := c.deleted.verify(m.Log(TopicPartition{deletedTopic, 0})); err != nil {
		return fmt.Errorf("the log that is deleted: %w", err)
	}
	for p, t := range c.tracks {
		l := m.Log(TopicPartition{crashTopic, p})
		if l == nil {
			if t.atPledge > 0 {
				return fmt.Errorf("partition %d is gone, %d offsets were promised", p, t.atPledge)
			}
			continue
		}
		if l.Offline() != nil {
			return fmt.Errorf("partition %d is offline: %w", p, l.Offline())
		}
		if err := t.verify(l); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
		// It must be good to go on with.
		info, err := l.AppendAsLeader(plainBatch(1, 10, 1), AppendOptions{LeaderEpoch: l.LatestEpoch() + 1})
		if err != nil {
			return err
		}
		if got := readBatches(l, info.FirstOffset); len(got) == 0 {
			return fmt.Errorf("partition %d: what was appended after recovery is not there", p)
		}
		if err := c.finishMove(m, l); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

// finishMove ends a move that was under way at the crash.
func (c *crashRun) finishMove(m *Manager, l *Log) error {
	f := l.future.Load()
	if f == nil {
		return nil
	}
	before := readBatches(l, l.StartOffset())
	var buf []byte
	for done := false; !done; {
		var err error
		if done, err = m.mover.step(l, f, &buf); err != nil {
			return fmt.Errorf("finish the move after the crash: %w", err)
		}
	}
	if l.Dir() != f.Dir() || !bytes.Equal(readBatches(l, l.StartOffset()), before) {
		return fmt.Errorf("the log has other bytes after the move was finished: in %s (%s), start %d %d, end %d %d, %d of %d bytes, first segment %d", l.Dir(), f.Dir(), l.StartOffset(), f.StartOffset(), l.EndOffset(), f.EndOffset(), len(readBatches(l, l.StartOffset())), len(before), l.segmentList()[0].base)
	}
	return nil
}

func readBatches(l *Log, from int64) []byte {
	var out []byte
	for end := l.EndOffset(); from < end; {
		r, err := l.Read(from, 1<<20, end, true)
		if err != nil || r == nil {
			return out
		}
		p := make([]byte, r.Len())
		_, _ = r.ReadAt(p, 0)
		out = append(out, p...)
		from = r.NextOffset()
		r.Release()
	}
	return out
}

// verify checks that the log is a prefix of what it was, before or after the operation that the crash interrupted, and holds what was promised.
func (t *crashTrack) verify(l *Log) error {
	start, end := l.StartOffset(), l.EndOffset()
	got := readBatches(l, start)
	if end < t.atPledge {
		return fmt.Errorf("the log ends at %d, %d was promised", end, t.atPledge)
	}
	var why []string
	for _, m := range t.atCrash {
		// The start may be an older one than the last: it is remembered by checkpoints.
		want := m.from(max(start, firstBase(m)), m.end)
		switch {
		case end > m.end:
			why = append(why, fmt.Sprintf("it ends at %d, not at or below %d", end, m.end))
		case start > m.start && start > t.atPledge:
			why = append(why, fmt.Sprintf("it starts at %d, not at or below %d", start, m.start))
		case !bytes.HasPrefix(want, got):
			why = append(why, "its bytes are not a prefix of what was written")
		default:
			// No holes: the batches that are there reach to the end.
			if n := len(m.from(max(start, firstBase(m)), end)); n != len(got) {
				why = append(why, fmt.Sprintf("%d bytes up to %d, want %d", len(got), end, n))
				continue
			}
			return nil
		}
	}
	return fmt.Errorf("after recovery: %s", strings.Join(why, "; or "))
}

func firstBase(m *model) int64 {
	if len(m.batches) == 0 {
		return m.end
	}
	return m.batches[0].base
}

func crashSeed(seed uint64, fault func(vfs.Op) vfs.Fault) (*crashRun, error) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	c := &crashRun{
		rnd: rnd, sync: seed%2 == 0, mode: vfs.CrashMode(seed / 2 % 4), crash: 5 + rnd.IntN(400), fault: fault, log: zerolog.Nop(),
	}
	return c, c.run()
}

func TestCrash(t *testing.T) {
	n := uint64(*crashSeeds)
	if testing.Short() {
		n = 100
	}
	moves := 0
	steps, during, at := map[string]int{}, map[string]int{}, map[string]int{}
	for seed := range n {
		c, err := crashSeed(seed, nil)
		moves += c.moves
		if err != nil {
			t.Fatalf("seed %d (%s, fsync mode %v, crash before change %d): %v\n%s", seed, c.mode, c.sync, c.crash, err, strings.Join(c.trace, "\n"))
		}
		for what, n := range c.steps {
			steps[what] += n
		}
		during[c.during]++
		at[c.at.String()]++
	}
	t.Logf("%d seeds; steps: %v; crashes in: %v; crashes before: %v", n, steps, during, at)
	for _, what := range []string{"append", "flush", "roll", "truncate", "checkpoint", "retain", "reopen", "compact", "create", "delete", "move"} {
		if steps[what] == 0 && what != "create" || n >= 400 && during[what] == 0 {
			t.Errorf("%s: %d steps, %d crashes in it", what, steps[what], during[what])
		}
	}
	for _, kind := range []vfs.OpKind{vfs.OpCreate, vfs.OpWrite, vfs.OpTruncate, vfs.OpSync, vfs.OpSyncDir, vfs.OpRename, vfs.OpRemove} {
		if n >= 400 && at[kind.String()] == 0 {
			t.Errorf("no crash came before a %s", kind)
		}
	}
	if moves < int(n)/10 {
		t.Errorf("%d moves were done in %d runs", moves, n)
	}
}

// Each fsync that the log promises by is there for a reason: without it some seed must fail. Those of checkpoints are not among them: a damaged
// checkpoint is made again from the log.
func TestCrashFindsMissingSync(t *testing.T) {
	for name, lie := range map[string]func(vfs.Op) bool{
		"records": func(op vfs.Op) bool { return op.Kind == vfs.OpSync && strings.HasSuffix(op.Path, logSuffix) },
		"compacted records": func(op vfs.Op) bool {
			return op.Kind == vfs.OpSync && strings.HasSuffix(op.Path, logSuffix+cleanedSuffix)
		},
		"partition directory": func(op vfs.Op) bool { return op.Kind == vfs.OpSyncDir && !slices.Contains(crashDirs, op.Path) },
		"log directory":       func(op vfs.Op) bool { return op.Kind == vfs.OpSyncDir && slices.Contains(crashDirs, op.Path) },
	} {
		t.Run(name, func(t *testing.T) {
			planted := 0
			skip := func(op vfs.Op) vfs.Fault {
				if !lie(op) {
					return vfs.Fault{}
				}
				planted++
				return vfs.Fault{Skip: true}
			}
			for seed := range uint64(3000) {
				if _, err := crashSeed(seed, skip); err != nil {
					t.Logf("seed %d, after %d of them: %v", seed, planted, err)
					return
				}
			}
			t.Errorf("nobody notices that it is never synced, %d times", planted)
		})
	}
}
