package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
)

// Stop shuts the broker down in the order in which nothing is lost: leadership is handed over, requests in flight are answered,
// coordinators and fetchers end, logs are flushed and marked clean, and last the session closes, so that the registration goes. ctx
// bounds the parts that wait for others, not the logs, which are flushed and closed in any case.
func (b *Broker) Stop(ctx context.Context) error {
	var err error
	b.stopped.Do(func() {
		began := time.Now()
		b.log.Info().Msg("broker stopping")
		b.stopping.Store(true)
		b.replication.Load().StopFollowing()
		b.controlledShutdown(ctx)
		b.drain(ctx)
		b.stop()
		b.wg.Wait()
		b.txns.Close()
		b.groups.Close()
		b.controller.Close()
		b.replication.Load().Close()
		b.peers.close()
		err = b.logs.Close(context.WithoutCancel(ctx)) // what was waited for above must not make it unclean
		b.closeStore()
		b.log.Info().Dur("took", time.Since(began)).AnErr("err", err).Msg("broker stopped")
	})
	return err
}

// drainTimeout is how long requests in flight may take to be answered. Those that wait for something end sooner, by their contexts; what is
// left are clients that do not read their answers, and writes that wait for replicas elsewhere.
const drainTimeout = 5 * time.Second

func (b *Broker) drain(ctx context.Context) {
	bounded, stop := context.WithTimeout(ctx, drainTimeout)
	defer stop()
	if err := b.server.Shutdown(bounded); err != nil {
		b.log.Warn().Err(err).Msg("connections were closed with requests unanswered")
	}
	for _, l := range b.listeners {
		_ = l.Close() // the server did, unless it had not come to serve it
	}
}

func (b *Broker) closeStore() {
	if s := b.session.Load(); s != nil {
		s.Close()
	}
	if b.store != nil {
		if err := b.store.Close(); err != nil {
			b.log.Warn().Err(err).Msg("metadata store did not close")
		}
	}
}

// abandon releases what a failed start had taken.
func (b *Broker) abandon() {
	if b.server != nil {
		stopped, stop := context.WithCancel(context.Background())
		stop()
		_ = b.server.Shutdown(stopped) // nothing was promised yet
	}
	for _, l := range b.listeners {
		_ = l.Close() // may be closed by the server already
	}
	b.stop()
	b.wg.Wait()
	if b.txns != nil {
		b.txns.Close()
	}
	if b.groups != nil {
		b.groups.Close()
	}
	if b.controller != nil {
		b.controller.Close()
	}
	if r := b.replication.Load(); r != nil {
		r.Close()
	}
	if b.peers != nil {
		b.peers.close()
	}
	if b.logs != nil {
		if err := b.logs.Close(context.Background()); err != nil {
			b.log.Warn().Err(err).Msg("logs did not close")
		}
	}
	b.closeStore()
}

// controlledShutdown asks the controller to move leadership away, as often as controlled.shutdown.max.retries says. A broker that is
// alone has nobody to hand over to.
func (b *Broker) controlledShutdown(ctx context.Context) {
	s := b.cfg.Snapshot()
	if !config.Get(s, config.ControlledShutdownEnable) || len(b.cache.Load().Brokers) < 2 {
		return
	}
	pause := time.Duration(config.Get(s, config.ControlledShutdownRetryBackoffMs)) * time.Millisecond
	for try := range int(config.Get(s, config.ControlledShutdownMaxRetries)) {
		if try > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
		}
		resp, err := b.toController(ctx, &kmsg.ControlledShutdownRequest{Version: 3, BrokerID: b.id, BrokerEpoch: b.epoch.Load()})
		if err == nil {
			r := resp.(*kmsg.ControlledShutdownResponse)
			if err = kerr.ErrorForCode(r.ErrorCode); err == nil && len(r.PartitionsRemaining) == 0 {
				return
			}
			if err == nil {
				b.log.Info().Int("partitions", len(r.PartitionsRemaining)).Msg("controlled shutdown: some partitions cannot move yet")
				continue
			}
		}
		b.log.Info().Err(err).Msg("controlled shutdown: the controller did not answer")
	}
	b.log.Warn().Msg("controlled shutdown: stopping with partitions that could not be handed over")
}
