package assignor

import (
	"container/heap"
	"slices"
)

// loadQueue finds the member with the least load among some; of equals the first.
type loadQueue struct {
	members []int
	load    []int
}

func newLoadQueue(members, load []int) *loadQueue {
	q := &loadQueue{members: slices.Clone(members), load: load}
	heap.Init(q)
	return q
}

func (q *loadQueue) least() int { return q.members[0] }

// grown says that the load of least has become more.
func (q *loadQueue) grown() { heap.Fix(q, 0) }

func (q *loadQueue) Len() int { return len(q.members) }
func (q *loadQueue) Less(i, j int) bool {
	a, b := q.members[i], q.members[j]
	return q.load[a] < q.load[b] || q.load[a] == q.load[b] && a < b
}
func (q *loadQueue) Swap(i, j int) { q.members[i], q.members[j] = q.members[j], q.members[i] }
func (q *loadQueue) Push(any)      { panic("assignor: a loadQueue does not grow") }
func (q *loadQueue) Pop() any      { panic("assignor: a loadQueue does not shrink") }
