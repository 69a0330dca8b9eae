package api

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ProducerIDs hands out producer ids from blocks that the controller allocates, and asks for the next block when a tenth of the
// present one is left (org.apache.kafka.server.transaction.RPCProducerIdManager). An id is never handed out twice: what is left
// of a block when the broker stops is lost.
type ProducerIDs struct {
	// Allocate gets a block from the controller.
	Allocate func(ctx context.Context) (start int64, n int32, err error)

	mu       sync.Mutex
	next     int64
	left     int32
	size     int32
	spare    int64
	spareLen int32
	fetching chan struct{} // closed when the request under way has ended
	err      error         // of the last request
}

// allocateTimeout bounds one request to the controller.
const allocateTimeout = 10 * time.Second

// Next returns an id that no producer of the cluster has. It waits for a block if there is none.
//
// Errors: COORDINATOR_LOAD_IN_PROGRESS, which clients retry, if the controller gives none.
func (p *ProducerIDs) Next(ctx context.Context) (int64, error) {
	for tried := false; ; tried = true {
		p.mu.Lock()
		if p.left == 0 && p.spareLen > 0 {
			p.next, p.left, p.size, p.spareLen = p.spare, p.spareLen, p.spareLen, 0
		}
		if p.spareLen == 0 && p.left <= p.size/10 && p.fetching == nil && !(tried && p.left == 0 && p.err != nil) {
			p.fetching = make(chan struct{})
			go p.fetch()
		}
		if p.left > 0 {
			id := p.next
			p.next, p.left = p.next+1, p.left-1
			p.mu.Unlock()
			return id, nil
		}
		wait, err := p.fetching, p.err
		p.mu.Unlock()
		if wait == nil {
			return 0, fmt.Errorf("no block of producer ids: %v: %w", err, kerr.CoordinatorLoadInProgress)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (p *ProducerIDs) fetch() {
	ctx, stop := context.WithTimeout(context.Background(), allocateTimeout)
	defer stop()
	start, n, err := p.Allocate(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	if err == nil {
		p.spare, p.spareLen = start, n
	}
	close(p.fetching)
	p.fetching = nil
}
