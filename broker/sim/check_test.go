package sim

import (
	"fmt"
	"io"
	"sync"
	"time"

	"ottla/replication"
	"ottla/storage"
	"ottla/wire/batch"
)

// history is what was promised, and by whom.
type history struct {
	w  *world
	mu sync.Mutex
	// acked are the records whose producers were told so; fixed those that somebody could read, below a high watermark.
	acked, fixed []map[int64]string
	leaders      []map[int32]int32 // by leader epoch
	// written is what a leader epoch put at an offset: partition, epoch, offset.
	written []map[[2]int64]string
}

func newHistory(w *world) *history {
	h := &history{w: w}
	for range w.plan.partitions {
		h.acked, h.fixed = append(h.acked, map[int64]string{}), append(h.fixed, map[int64]string{})
		h.leaders, h.written = append(h.leaders, map[int32]int32{}), append(h.written, map[[2]int64]string{})
	}
	return h
}

// acknowledged records that a produce request with acks=all was answered.
func (h *history) acknowledged(partition int32, base int64, values []string) {
	h.w.note("acknowledged %d at %d: %d records, %s", partition, base, len(values), short(values[0]))
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, v := range values {
		offset := base + int64(i)
		if old, ok := h.acked[partition][offset]; ok {
			h.w.fail("partition %d: offset %d was acknowledged for %s and for %s", partition, offset, short(old), short(v))
		}
		h.acked[partition][offset] = v
	}
}

// readable records that a record could be read.
func (h *history) readable(who string, partition int32, offset int64, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old, ok := h.fixed[partition][offset]
	if ok && old != value {
		h.w.fail("partition %d: offset %d was readable as %s, and is %s for %s", partition, offset, short(old), short(value), who)
	}
	if acked, ok := h.acked[partition][offset]; ok && acked != value {
		h.w.fail("partition %d: offset %d was acknowledged as %s, and is %s for %s", partition, offset, short(acked), short(value), who)
	}
	h.fixed[partition][offset] = value
}

// leads records who leads in an epoch; -1 is nobody.
func (h *history) leads(who string, partition, epoch, leader int32) {
	if leader < 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.leaders[partition][epoch]; ok && old != leader {
		h.w.fail("partition %d: epoch %d has the leaders %d and, according to %s, %d", partition, epoch, old, who, leader)
	}
	h.leaders[partition][epoch] = leader
}

func (h *history) wrote(who string, partition, epoch int32, offset int64, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := [2]int64{int64(epoch), offset}
	if old, ok := h.written[partition][key]; ok && old != value {
		h.w.fail("partition %d: epoch %d wrote %s at offset %d, and %s according to %s", partition, epoch, short(old), offset, short(value), who)
	}
	h.written[partition][key] = value
}

// numbers are how many records were acknowledged and readable, and how many leader epochs there were.
func (h *history) numbers() (acked, fixed, epochs int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.acked {
		acked, fixed, epochs = acked+len(h.acked[i]), fixed+len(h.fixed[i]), epochs+len(h.leaders[i])
	}
	return acked, fixed, epochs
}

func short(v string) string { return v[:min(len(v), 14)] }

// checkPause is how often the replicas are compared.
const checkPause = 5 * time.Second

// watch compares the replicas of all brokers that run, until the faults have ended.
func (w *world) watch() {
	for w.sleep(checkPause) {
		select {
		case <-w.quiet:
			return
		default:
			w.compare()
		}
	}
}

// compare looks at every replica: what is below a high watermark is fixed, what an epoch wrote is the same everywhere, and one leads.
func (w *world) compare() {
	for _, n := range w.nodes {
		b := n.running()
		if b == nil {
			continue
		}
		for id := range w.plan.partitions {
			p := b.Replica(topic, id)
			if p == nil || p.Log() == nil {
				continue
			}
			if _, epoch := p.Leader(); p.IsLeader() {
				w.hist.leads(fmt.Sprintf("broker %d", n.id), id, epoch, n.id)
			}
			w.replica(n, p)
		}
	}
}

func (w *world) replica(n *node, p *replication.Partition) {
	who, hw := fmt.Sprintf("the replica of broker %d", n.id), p.HighWatermark()
	err := eachOf(p.Log(), func(v batch.View, r *batch.Record, offset int64) {
		w.hist.wrote(who, p.ID(), v.LeaderEpoch(), offset, string(r.Value))
		if offset < hw {
			w.hist.readable(who, p.ID(), offset, string(r.Value))
		}
	})
	if err != nil {
		w.note("broker %d: reading the log of partition %d: %v", n.id, p.ID(), err)
	}
}

// eachOf visits the records of a log.
func eachOf(l *storage.Log, f func(v batch.View, r *batch.Record, offset int64)) error {
	for off, end := l.StartOffset(), l.EndOffset(); off < end; {
		rng, err := l.Read(off, 64<<10, end, true)
		if err != nil {
			return err
		}
		p := make([]byte, rng.Len())
		_, err = rng.ReadAt(p, 0)
		next := rng.NextOffset()
		rng.Release()
		if err != nil && err != io.EOF {
			return err
		}
		if err := eachRecord(p, f); err != nil {
			return err
		}
		if next <= off {
			return fmt.Errorf("no progress at offset %d", off)
		}
		off = next
	}
	return nil
}

// patience is how long a cluster without faults may take until all replicas are in sync.
const patience = 120 * time.Second

// converge waits until every broker leads or follows with all records, and then looks for those that were promised.
func (w *world) converge() {
	var why string
	for deadline := time.Now().Add(patience); ; {
		if why = w.unfinished(); why == "" {
			break
		}
		if time.Now().After(deadline) {
			w.trace.hang(fmt.Sprintf("%s after the end of all faults: %s", patience, why))
			break
		}
		if !w.sleep(200 * time.Millisecond) {
			return
		}
	}
	w.compare()
	if why != "" {
		return
	}
	for id := range w.plan.partitions {
		for _, n := range w.nodes {
			w.promises(n, id)
		}
	}
}

// unfinished says what is missing in an undisturbed cluster.
func (w *world) unfinished() string {
	for id := range w.plan.partitions {
		leaders, ends := 0, map[int64]bool{}
		for _, n := range w.nodes {
			b := n.running()
			if b == nil {
				return fmt.Sprintf("broker %d has not started", n.id)
			}
			p := b.Replica(topic, id)
			if p == nil || p.Log() == nil {
				return fmt.Sprintf("broker %d has no replica of partition %d", n.id, id)
			}
			if c := p.Log().Config(); c.MinInsyncReplicas != w.plan.minISR || (c.FlushMessages == 1) != w.plan.durable {
				return fmt.Sprintf("broker %d does not know the configuration of its replica of partition %d", n.id, id)
			}
			if p.IsLeader() {
				leaders++
				if len(p.ISR()) < brokers || len(p.Replicas()) > brokers {
					return fmt.Sprintf("partition %d has the ISR %v", id, p.ISR())
				}
			}
			ends[p.Log().EndOffset()], ends[p.HighWatermark()] = true, true
		}
		if leaders != 1 {
			return fmt.Sprintf("partition %d has %d leaders", id, leaders)
		}
		if len(ends) != 1 {
			return fmt.Sprintf("partition %d: log ends and high watermarks differ: %v", id, ends)
		}
	}
	return ""
}

// promises looks for all acknowledged and all readable records in a replica.
func (w *world) promises(n *node, id int32) {
	found := map[int64]string{}
	p := n.running().Replica(topic, id)
	if err := eachOf(p.Log(), func(_ batch.View, r *batch.Record, offset int64) { found[offset] = string(r.Value) }); err != nil {
		w.fail("broker %d: reading the log of partition %d: %v", n.id, id, err)
		return
	}
	h := w.hist
	h.mu.Lock()
	defer h.mu.Unlock()
	for kind, promised := range map[string]map[int64]string{"acknowledged": h.acked[id], "readable": h.fixed[id]} {
		for offset := int64(0); offset < p.Log().EndOffset()+1000; offset++ {
			v, ok := promised[offset]
			if got := found[offset]; ok && got != v {
				w.fail("partition %d, broker %d: offset %d was %s as %s, and is %q at the end", id, n.id, offset, kind, short(v), short(got))
				break
			}
		}
	}
	w.note("partition %d, broker %d: %d records, %d acknowledged, %d seen readable", id, n.id, len(found), len(h.acked[id]), len(h.fixed[id]))
}
