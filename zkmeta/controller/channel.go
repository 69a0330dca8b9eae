package controller

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// Brokers carries requests to brokers.
type Brokers interface {
	// Send sends req, at the version that is set in it, and waits for the answer. The controller has one
	// call per broker at a time. A request to the own broker is a plain call. req is read only.
	Send(ctx context.Context, broker zkmeta.BrokerInfo, req kmsg.Request) (kmsg.Response, error)
}

// sendRetry is the pause before a request that was not answered is sent again
// (RequestSendThread in ControllerChannelManager.scala).
const sendRetry = 100 * time.Millisecond

// sendWarning is how often a broker that does not answer is mentioned in the log.
const sendWarning = 30 * time.Second

// A channel is the queue to one broker: first in, first out, one request in flight, and none is ever
// skipped, since each rests on those before it. It ends when the broker's registration or the term does.
type channel struct {
	stop     context.CancelFunc
	brokers  Brokers
	answered func(BrokerAnswered)
	log      zerolog.Logger

	mu    sync.Mutex
	info  zkmeta.BrokerInfo
	queue []kmsg.Request
	wake  chan struct{} // has room for one
}

// openChannel starts a channel; wg is done when its goroutine ends.
func openChannel(wg *sync.WaitGroup, info zkmeta.BrokerInfo, brokers Brokers, answered func(BrokerAnswered), log zerolog.Logger) *channel {
	ctx, stop := context.WithCancel(context.Background())
	c := &channel{
		stop:     stop,
		brokers:  brokers,
		answered: answered,
		info:     info,
		wake:     make(chan struct{}, 1),
		log:      log.With().Int32("broker", info.ID).Logger(),
	}
	wg.Go(func() { c.run(ctx) })
	return c
}

func (c *channel) send(req kmsg.Request) {
	c.mu.Lock()
	c.queue = append(c.queue, req)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *channel) update(info zkmeta.BrokerInfo) {
	c.mu.Lock()
	c.info = info
	c.mu.Unlock()
}

func (c *channel) take() (kmsg.Request, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.queue = nil
		return nil, false
	}
	req := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	return req, true
}

func (c *channel) run(ctx context.Context) {
	for {
		req, ok := c.take()
		if !ok {
			select {
			case <-c.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		resp, ok := c.deliver(ctx, req)
		if !ok {
			return
		}
		c.answered(BrokerAnswered{Broker: c.info.ID, Request: req, Response: resp})
	}
}

// deliver sends req until it is answered or the channel ends.
func (c *channel) deliver(ctx context.Context, req kmsg.Request) (kmsg.Response, bool) {
	var warned time.Time
	for ctx.Err() == nil {
		c.mu.Lock()
		info := c.info
		c.mu.Unlock()
		resp, err := c.brokers.Send(ctx, info, req)
		if err == nil {
			return resp, ctx.Err() == nil
		}
		if ctx.Err() != nil {
			break
		}
		if now := time.Now(); now.Sub(warned) >= sendWarning {
			warned = now
			c.log.Warn().Err(err).Str("request", kmsg.NameForKey(req.Key())).Msg("broker did not answer the controller; trying again")
		}
		select {
		case <-time.After(sendRetry):
		case <-ctx.Done():
		}
	}
	return nil, false
}
