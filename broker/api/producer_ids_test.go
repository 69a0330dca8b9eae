package api

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestProducerIDsAreNeverHandedOutTwice(t *testing.T) {
	var blocks atomic.Int64
	ids := &ProducerIDs{Allocate: func(context.Context) (int64, int32, error) {
		return (blocks.Add(1) - 1) * 20, 20, nil
	}}
	var mu sync.Mutex
	seen := make(map[int64]bool)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 250 {
				id, err := ids.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if seen[id] {
					t.Errorf("producer id %d twice", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id := range int64(2000) {
		if !seen[id] {
			t.Fatalf("producer id %d was skipped", id)
		}
	}
}

func TestProducerIDsWithoutController(t *testing.T) {
	down := errors.New("no controller")
	var err atomic.Value
	err.Store(&down)
	ids := &ProducerIDs{Allocate: func(context.Context) (int64, int32, error) { return 7, 1, *err.Load().(*error) }}
	if _, got := ids.Next(t.Context()); !errors.Is(got, kerr.CoordinatorLoadInProgress) {
		t.Fatalf("error is %v", got)
	}
	var none error
	err.Store(&none)
	if id, got := ids.Next(t.Context()); got != nil || id != 7 {
		t.Fatalf("after the controller is back: %d, %v", id, got)
	}
}
