package broker

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"time"

	"ottla/broker/config"
	"ottla/broker/metadata"
	"ottla/zkmeta"
)

// A process that dies takes its sockets with it. Each broker keeps an idle connection to every other one; when that ends
// and the port refuses the next, the other's process is gone, and what its session holds in the metadata store is removed
// without waiting for the session timeout (ottla.failover.fast). docs/failover.md says why that is safe.

// peerPause is the wait between two attempts to connect to a broker.
const peerPause = 50 * time.Millisecond

// followPeers watches every broker in the metadata until ctx ends.
func (b *Broker) followPeers(ctx context.Context) {
	if s := b.cfg.Snapshot(); standalone(s) || !config.Get(s, config.OttlaFailoverFast) {
		return
	}
	watched := map[int32]context.CancelFunc{}
	addrs := map[int32]string{}
	var last *metadata.Snapshot
	for {
		snapshot, err := b.cache.Wait(ctx, func(s *metadata.Snapshot) bool { return s != last })
		if err != nil {
			break
		}
		last = snapshot
		for id := range snapshot.Brokers {
			e, ok := snapshot.Endpoint(id, b.peers.listener)
			addr := net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
			if id == b.id || !ok || addrs[id] == addr {
				continue
			}
			if stop := watched[id]; stop != nil {
				stop()
			}
			peer, stop := context.WithCancel(ctx)
			watched[id], addrs[id] = stop, addr
			b.wg.Go(func() { b.watchPeer(peer, id, addr) })
		}
		for id, stop := range watched {
			if _, there := snapshot.Brokers[id]; !there {
				stop()
				delete(watched, id)
				delete(addrs, id)
			}
		}
	}
	for _, stop := range watched {
		stop()
	}
}

// watchPeer keeps a connection to a broker. A refusal counts only against the registration that was there while a
// connection stood: a broker that starts may be registered before its port is open.
func (b *Broker) watchPeer(ctx context.Context, id int32, addr string) {
	dial := b.peers.connect(-1)
	var seen zkmeta.Stat
	for ctx.Err() == nil {
		stat, exists, err := b.Session().Exists(ctx, zkmeta.Broker(id), nil)
		known := err == nil && exists
		conn, err := dial(ctx, "tcp", addr)
		switch {
		case err == nil:
			if known {
				seen = stat
			}
			awaitEnd(ctx, conn)
		case errors.Is(err, syscall.ECONNREFUSED) && seen.Czxid != 0:
			if err := b.peerDied(ctx, id, seen); err != nil && ctx.Err() == nil {
				b.log.Debug().Err(err).Int32("dead", id).Msg("what a dead broker holds could not be removed")
			}
		}
		select {
		case <-time.After(peerPause):
		case <-ctx.Done():
		}
	}
}

// awaitEnd returns when the other side has closed conn, or ctx has ended.
func awaitEnd(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	for buf := make([]byte, 16); ; {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

// peerDied removes the dead broker's registration: as the controller, or together with /controller if the dead broker holds that, so that the
// next controller does not begin by taking it for alive. All is bound to the controller epoch that was read first, and to the registration that was seen.
func (b *Broker) peerDied(ctx context.Context, id int32, seen zkmeta.Stat) error {
	s := b.Session()
	_, epoch, err := s.Get(ctx, zkmeta.ControllerEpoch, nil)
	if err != nil {
		return err
	}
	ops := []zkmeta.Op{zkmeta.CheckOp(zkmeta.ControllerEpoch, epoch.Version)}
	if !b.controller.IsActive() {
		stat, exists, err := s.Exists(ctx, zkmeta.Controller, nil)
		if err != nil || !exists || stat.EphemeralOwner != seen.EphemeralOwner {
			return err
		}
		ops = append(ops, zkmeta.DeleteOp(zkmeta.Controller, stat.Version))
	}
	stat, exists, err := s.Exists(ctx, zkmeta.Broker(id), nil)
	if err != nil {
		return err
	}
	if exists && stat.Czxid == seen.Czxid {
		ops = append(ops, zkmeta.DeleteOp(zkmeta.Broker(id), stat.Version))
	}
	if len(ops) == 1 {
		return nil
	}
	if _, err = s.Multi(ctx, ops...); err == nil {
		b.log.Warn().Int32("dead", id).Bool("controller", ops[1].Path == zkmeta.Controller).Msg("a broker's process is gone; removed what it held")
	}
	return err
}

// watchRegistration returns a channel that gets a value when this broker's registration may have changed.
func (b *Broker) watchRegistration(ctx context.Context, s zkmeta.Session) <-chan struct{} {
	changed := make(chan struct{}, 1)
	_, exists, err := s.Exists(ctx, zkmeta.Broker(b.id), zkmeta.NewWatch(func(zkmeta.Event) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}))
	if err == nil && !exists {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	return changed
}

// reenter registers this broker again if its registration was removed while it lives: what the controller decided
// meanwhile comes with LeaderAndIsr.
func (b *Broker) reenter(ctx context.Context, s zkmeta.Session) {
	for ctx.Err() == nil && !b.stopping.Load() {
		stat, exists, err := s.Exists(ctx, zkmeta.Broker(b.id), nil)
		if err == nil && exists && stat.EphemeralOwner == s.ID() || errors.Is(err, zkmeta.ErrSessionExpired) {
			return
		}
		if err == nil {
			b.log.Warn().Bool("taken", exists).Msg("this broker's registration was removed; registering again")
			b.lose()
			if err = b.register(ctx); err == nil {
				return
			}
		}
		select {
		case <-ctx.Done():
		case <-s.Expired():
			return
		case <-time.After(renewPause):
		}
	}
}
