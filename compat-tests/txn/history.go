package txn

import (
	"cmp"
	"fmt"
	"slices"
)

// outcome is what a producer knows of a transaction's end.
type outcome int

const (
	unknown   outcome = iota // the answer was lost, or never asked for: either end is right, but a whole one
	committed                // EndTxn(commit) was answered
	aborted                  // its commit was never asked for, whatever else happened
)

// record is the value of every record: who wrote it, in which transaction, as which one.
type record struct {
	Producer, Txn, N int
}

// write is a record as its producer sent it.
type write struct {
	record
	partition int32
	offset    int64 // -1: not acknowledged
}

// transaction is one of a producer, in the order of its begin.
type transaction struct {
	producer, n int
	end         outcome
	version2    bool // it was ended with transactions of version 2, as far as its producer knows
	writes      []write
}

// read is a record as a read_committed consumer got it.
type read struct {
	record
	partition int32
	offset    int64
}

// history is everything that happened. Each session is what one consumer got, in its order; final is what a consumer gets
// from the beginning to the end when everything is over.
type history struct {
	transactions []transaction
	sessions     [][]read
	final        []read
	// copies are what the copying programs (read, process and write within transactions) wrote: each record of final
	// exactly once. nil: there were none.
	copies []record
}

// anomaly is something that exactly-once forbids.
type anomaly struct {
	kind   string // lost write, aborted read, torn transaction, duplicate, reordering, changed record, invented record, lost copy
	detail string
}

type place struct {
	partition int32
	offset    int64
}

type txnKey struct{ producer, txn int }

// check searches a history for anomalies.
func check(h *history) []anomaly {
	var found []anomaly
	report := func(kind, format string, args ...any) {
		found = append(found, anomaly{kind, fmt.Sprintf(format, args...)})
	}

	sent, ends := map[record]write{}, map[txnKey]outcome{}
	for _, t := range h.transactions {
		ends[txnKey{t.producer, t.n}] = t.end
		for _, w := range t.writes {
			sent[w.record] = w
		}
	}

	byPlace, byRecord := map[place]record{}, map[record]read{}
	checkReader(h.final, "the final read", sent, ends, report)
	for _, r := range h.final {
		byPlace[place{r.partition, r.offset}] = r.record
		if _, ok := byRecord[r.record]; !ok {
			byRecord[r.record] = r
		}
	}
	for i, s := range h.sessions {
		name := fmt.Sprintf("consumer %d", i)
		checkReader(s, name, sent, ends, report)
		for _, r := range s {
			now, there := byPlace[place{r.partition, r.offset}]
			switch {
			case !there:
				report("lost write", "%s read %v at %d-%d, the final read has nothing there", name, r.record, r.partition, r.offset)
			case now != r.record:
				report("changed record", "%s read %v at %d-%d, the final read %v", name, r.record, r.partition, r.offset, now)
			}
		}
	}

	for _, t := range h.transactions {
		missing, there := 0, 0
		var example record
		for _, w := range t.writes {
			r, ok := byRecord[w.record]
			if !ok {
				missing++
				example = w.record
				continue
			}
			there++
			if w.offset >= 0 && (w.offset != r.offset || w.partition != r.partition) {
				report("changed record", "%v was acknowledged at %d-%d and is at %d-%d", w.record, w.partition, w.offset, r.partition, r.offset)
			}
		}
		switch {
		case t.end == committed && missing > 0:
			report("lost write", "transaction %d of producer %d was committed, %d of its %d records are not there, such as %v", t.n, t.producer, missing, len(t.writes), example)
		case t.end == unknown && missing > 0 && there > 0:
			report("torn transaction", "transaction %d of producer %d: %d records are there, %d are not, such as %v", t.n, t.producer, there, missing, example)
		}
	}

	if h.copies != nil {
		n := map[record]int{}
		for _, c := range h.copies {
			n[c]++
			if n[c] == 2 {
				report("duplicate", "%v was copied more than once", c)
			}
			if _, ok := byRecord[c]; !ok {
				report("invented record", "the copy of %v, which is not there", c)
			}
		}
		for r := range byRecord {
			if n[r] == 0 {
				report("lost copy", "%v was not copied", r)
			}
		}
	}
	slices.SortFunc(found, func(a, b anomaly) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.detail, b.detail)) })
	return found
}

// checkReader looks at what one consumer got: nothing aborted, nothing twice, each partition in order.
func checkReader(reads []read, name string, sent map[record]write, ends map[txnKey]outcome, report func(kind, format string, args ...any)) {
	seen := map[record]bool{}
	offsets := map[int32]int64{}
	type stream struct {
		partition int32
		producer  int
	}
	last := map[stream]record{}
	for _, r := range reads {
		w, ok := sent[r.record]
		switch {
		case !ok || w.partition != r.partition:
			report("invented record", "%s read %v at %d-%d, which nobody wrote there", name, r.record, r.partition, r.offset)
			continue
		case ends[txnKey{r.Producer, r.Txn}] == aborted:
			report("aborted read", "%s read %v at %d-%d of an aborted transaction", name, r.record, r.partition, r.offset)
		}
		if seen[r.record] {
			report("duplicate", "%s read %v again at %d-%d", name, r.record, r.partition, r.offset)
			continue
		}
		seen[r.record] = true
		if before, ok := offsets[r.partition]; ok && r.offset <= before {
			report("reordering", "%s read offset %d of partition %d after %d", name, r.offset, r.partition, before)
		}
		offsets[r.partition] = r.offset
		s := stream{r.partition, r.Producer}
		if before, ok := last[s]; ok && cmp.Or(cmp.Compare(r.Txn, before.Txn), cmp.Compare(r.N, before.N)) < 0 {
			report("reordering", "%s read %v after %v in partition %d", name, r.record, before, r.partition)
		}
		last[s] = r.record
	}
}
