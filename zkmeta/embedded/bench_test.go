package embedded

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"ottla/zkmeta"
)

func benchStore(b *testing.B, path string) (*Store, zkmeta.Session) {
	s, err := Open(Config{Path: path, Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s, mustConnect(b, s)
}

// BenchmarkCreate1500 is the creation of 500 partitions: three nodes each, pipelined, on disk.
func BenchmarkCreate1500(b *testing.B) {
	_, c := benchStore(b, filepath.Join(b.TempDir(), "meta.db"))
	ctx := context.Background()
	b.ReportAllocs()
	round := 0
	for b.Loop() {
		round++
		parent := mustCreate(b, c, fmt.Sprintf("/r%d", round), nil, zkmeta.Persistent)
		var wg sync.WaitGroup
		for i := range 1500 {
			wg.Go(func() {
				if _, err := c.Create(ctx, fmt.Sprintf("%s/%d", parent, i), []byte(`{"controller_epoch":1,"leader":2,"version":1,"leader_epoch":0,"isr":[2,3,1]}`), zkmeta.Persistent, nil); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

func BenchmarkSetOnDisk(b *testing.B) {
	_, c := benchStore(b, filepath.Join(b.TempDir(), "meta.db"))
	mustCreate(b, c, "/n", nil, zkmeta.Persistent)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Set(context.Background(), "/n", []byte("x"), zkmeta.AnyVersion); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	_, c := benchStore(b, "")
	mustCreate(b, c, "/n", []byte("x"), zkmeta.Persistent)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Get(context.Background(), "/n", nil); err != nil {
			b.Fatal(err)
		}
	}
}
