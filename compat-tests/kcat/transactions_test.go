package kcat

import (
	"testing"
)

func TestTransactions(t *testing.T) {
	t.Run("a committed transaction is read by read-committed consumers", func(t *testing.T) {
		t.Parallel()
		tp, data := topic(t, 2), lines(500, 40)
		produce(t, tp, data, "-p", "1", "-X", "transactional.id="+name())
		same(t, ok(t, "", "-C", "-t", tp, "-p", "1", "-o", "beginning", "-e", "-q", "-X", "isolation.level=read_committed"), data)
	})
	t.Run("a transactional id is taken over by the next producer", func(t *testing.T) {
		t.Parallel()
		tp, id := topic(t, 1), name()
		produce(t, tp, "one\n", "-X", "transactional.id="+id)
		produce(t, tp, "two\n", "-X", "transactional.id="+id)
		eqLines(t, consume(t, tp, "-X", "isolation.level=read_committed"), "one", "two")
	})
}
