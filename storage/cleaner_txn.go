package storage

import (
	"slices"

	"ottla/wire/batch"
)

// cleanedTxns follows the transactions through the batches that compaction reads, in offset order, and says what of them may go
// (CleanedTransactionMetadata): data of aborted ones at once, a marker when nothing of its transaction is left.
type cleanedTxns struct {
	aborted   []abortedTxn              // to come, by first offset
	ongoing   map[int64]*cleanedAborted // by producer
	committed map[int64]bool            // producers with data of a transaction that is not aborted
	kept      []abortedTxn              // for the .txnindex of the output
}

type cleanedAborted struct {
	txn  abortedTxn
	seen bool // some batch of it is still there
}

func newCleanedTxns() *cleanedTxns {
	return &cleanedTxns{ongoing: map[int64]*cleanedAborted{}, committed: map[int64]bool{}}
}

// add announces aborted transactions that have something in a segment about to be read. One that reaches over several segments is announced
// for each.
func (c *cleanedTxns) add(list []abortedTxn) {
	c.aborted = append(c.aborted, list...)
	slices.SortFunc(c.aborted, func(a, b abortedTxn) int { return int(min(max(a.firstOffset-b.firstOffset, -1), 1)) })
}

// batch takes note of a batch and says whether its records may be discarded on account of its transaction.
func (c *cleanedTxns) batch(v batch.View, m marker) (discard bool) {
	for len(c.aborted) > 0 && c.aborted[0].firstOffset <= v.LastOffset() {
		if a := c.aborted[0]; c.ongoing[a.producerID] == nil && a.lastOffset >= v.BaseOffset() {
			c.ongoing[a.producerID] = &cleanedAborted{txn: a}
		}
		c.aborted = c.aborted[1:]
	}
	id := v.ProducerID()
	switch {
	case v.IsControl() && v.Count() == 0:
		return true // nothing is left in it but what it says of its producer
	case v.IsControl() && !m.ends:
		return false
	case v.IsControl() && m.aborts:
		a := c.ongoing[id]
		delete(c.ongoing, id)
		if a == nil || !a.seen {
			return true
		}
		c.kept = append(c.kept, a.txn)
		return false
	case v.IsControl():
		had := c.committed[id]
		delete(c.committed, id)
		return !had
	case !v.IsTransactional():
		return false
	}
	if a := c.ongoing[id]; a != nil {
		a.seen = true
		return true
	}
	c.committed[id] = true
	return false
}
