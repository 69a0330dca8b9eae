package storage

import (
	"runtime"
	"testing"

	"ottla/wire/batch"
)

// An idle partition must cost little: a broker has thousands.
func TestIdlePartitionIsSmall(t *testing.T) {
	const n = 2000
	e := newEnv(t, nil)
	e.open()
	p := plainBatch(1, 100, 1)
	for i := range n {
		l := e.log("a-topic", int32(i))
		if err := l.AssignEpoch(3, 0); err != nil {
			t.Fatal(err)
		}
		batch.View(p).SetBaseOffset(0)
		mustAppend(t, l, p)
	}
	e.close()
	before := heapBytes()
	e.open()
	if got := (heapBytes() - before) / n; got > 2048 {
		t.Errorf("%d bytes of heap for each idle partition, want at most 2048", got)
	} else {
		t.Logf("%d bytes for each idle partition", got)
	}
	e.m.logs.each(func(l *Log) {
		if s := l.active(); s.data.ref.Load() != nil || s.index.Load() != nil {
			t.Fatalf("%s keeps files open", l.tp)
		}
	})
	runtime.KeepAlive(e)
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
