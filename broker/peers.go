package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/metadata"
	"ottla/wire"
	"ottla/zkmeta"
)

// peers keeps connections to the other brokers on the inter-broker listener: one for each
// purpose.
type peers struct {
	log      zerolog.Logger
	clientID string // Kafka uses the broker id as text
	listener string
	cache    *metadata.Cache
	dialFunc dialFunc
	timeouts peerTimeouts

	mu     sync.Mutex
	conns  map[peerKey]*wire.Client
	closed bool
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

type peerKey struct {
	addr    string
	purpose string
}

// peerTimeouts bound what a broker waits for another one; ReceiveBuffer is the size of a fetcher's socket buffer, -1 for the kernel's.
type peerTimeouts struct {
	Setup         time.Duration // socket.connection.setup.timeout.ms
	Control       time.Duration // controller.socket.timeout.ms: controller to broker
	Request       time.Duration // request.timeout.ms: broker to controller
	Fetch         time.Duration // replica.socket.timeout.ms
	ReceiveBuffer int           // replica.socket.receive.buffer.bytes
}

// The purposes of shared connections.
const (
	forControl    = "control"
	forController = "controller"
	forMarkers    = "markers"
	forVerifying  = "verifying"
)

func newPeers(log zerolog.Logger, brokerID int32, listener string, cache *metadata.Cache, dial dialFunc, timeouts peerTimeouts) *peers {
	return &peers{
		log: log, clientID: strconv.Itoa(int(brokerID)), listener: listener, cache: cache, dialFunc: dial, timeouts: timeouts,
		conns: make(map[peerKey]*wire.Client),
	}
}

// dial opens a connection of the caller's own to a broker, for a fetcher.
//
// Errors: BROKER_NOT_AVAILABLE if the broker is not alive or has no inter-broker listener.
func (p *peers) dial(ctx context.Context, broker int32) (*wire.Client, error) {
	e, ok := p.cache.Load().Endpoint(broker, p.listener)
	if !ok {
		return nil, fmt.Errorf("broker %d is not known on listener %s: %w", broker, p.listener, kerr.BrokerNotAvailable)
	}
	return wire.Dial(ctx, wire.ClientConfig{
		Addr: net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), ClientID: "broker-" + p.clientID + "-fetcher-0",
		DialFunc: p.connect(p.timeouts.ReceiveBuffer), Timeout: p.timeouts.Fetch, Log: p.log,
	})
}

// connect opens TCP connections within the setup timeout.
func (p *peers) connect(receiveBuffer int) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if p.timeouts.Setup > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, p.timeouts.Setup)
			defer cancel()
		}
		conn, err := p.dialFunc(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok && receiveBuffer > 0 {
			if err := tcp.SetReadBuffer(receiveBuffer); err != nil {
				conn.Close()
				return nil, fmt.Errorf("replica.socket.receive.buffer.bytes: %w", err)
			}
		}
		return conn, err
	}
}

// request sends over the shared connection to addr, which it opens when there is none. A connection that fails is dropped: what
// was sent may or may not have been done, and the caller decides.
func (p *peers) request(ctx context.Context, addr, purpose string, req kmsg.Request) (kmsg.Response, error) {
	c, err := p.shared(ctx, addr, purpose)
	if err != nil {
		return nil, err
	}
	resp, err := c.Request(ctx, req)
	if err != nil {
		p.drop(peerKey{addr, purpose}, c)
	}
	return resp, err
}

// shared returns the shared connection to addr.
func (p *peers) shared(ctx context.Context, addr, purpose string) (*wire.Client, error) {
	key := peerKey{addr, purpose}
	p.mu.Lock()
	c := p.conns[key]
	p.mu.Unlock()
	if c == nil {
		timeout := p.timeouts.Control
		if purpose != forControl {
			timeout = p.timeouts.Request
		}
		opened, err := wire.Dial(ctx, wire.ClientConfig{
			Addr: addr, ClientID: p.clientIDFor(purpose), DialFunc: p.connect(-1), Timeout: timeout,
			ApiVersions: purpose != forControl, Log: p.log,
		})
		if err != nil {
			return nil, err
		}
		if c, err = p.keep(key, opened); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// clientIDFor is how Kafka's brokers call themselves.
func (p *peers) clientIDFor(purpose string) string {
	switch purpose {
	case forMarkers:
		return "broker-" + p.clientID + "-txn-marker-sender"
	case forVerifying:
		return "AddPartitionsManager-client-" + p.clientID
	}
	return p.clientID
}

// keep makes a new connection the shared one, unless another request was faster.
func (p *peers) keep(key peerKey, c *wire.Client) (*wire.Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch other := p.conns[key]; {
	case p.closed:
		c.Close()
		return nil, errPeersClosed
	case other != nil:
		c.Close()
		return other, nil
	}
	p.conns[key] = c
	return c, nil
}

var errPeersClosed = errors.New("this broker is stopping")

func (p *peers) drop(key peerKey, c *wire.Client) {
	p.mu.Lock()
	if p.conns[key] == c {
		delete(p.conns, key)
	}
	p.mu.Unlock()
	c.Close()
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for key, c := range p.conns {
		c.Close()
		delete(p.conns, key)
	}
}

// control carries the controller's requests to the brokers: its own broker is called directly.
type control struct {
	own   int32
	local func(kmsg.Request) (kmsg.Response, error)
	peers *peers
}

// Send implements controller.Brokers.
func (c *control) Send(ctx context.Context, broker zkmeta.BrokerInfo, req kmsg.Request) (kmsg.Response, error) {
	if broker.ID == c.own {
		return c.local(req)
	}
	for _, e := range broker.Endpoints {
		if e.Listener == c.peers.listener {
			return c.peers.request(ctx, net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), forControl, req)
		}
	}
	return nil, fmt.Errorf("broker %d has no listener %s", broker.ID, c.peers.listener)
}

// toController sends a request to the active controller, wherever it is.
//
// Errors: NOT_CONTROLLER if none is known.
func (b *Broker) toController(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	id := b.controller.ActiveID()
	switch {
	case id < 0:
		return nil, fmt.Errorf("no active controller is known: %w", kerr.NotController)
	case id == b.id:
		return b.api.ControllerRequest(ctx, req)
	}
	e, ok := b.cache.Load().Endpoint(id, b.peers.listener)
	if !ok {
		return nil, fmt.Errorf("controller %d is not known on listener %s: %w", id, b.peers.listener, kerr.BrokerNotAvailable)
	}
	return b.peers.request(ctx, net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), forController, req)
}

func (b *Broker) alterPartition(ctx context.Context, req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
	resp, err := b.toController(ctx, req)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.AlterPartitionResponse), nil
}

func (b *Broker) allocateProducerIDs(ctx context.Context) (start int64, n int32, err error) {
	req := &kmsg.AllocateProducerIDsRequest{BrokerID: b.id, BrokerEpoch: b.epoch.Load()}
	resp, err := b.toController(ctx, req)
	if err != nil {
		return 0, 0, err
	}
	r := resp.(*kmsg.AllocateProducerIDsResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return 0, 0, fmt.Errorf("allocate producer ids: %w", err)
	}
	if r.ProducerIDLen <= 0 {
		return 0, 0, errors.New("the controller sent an empty block of producer ids")
	}
	return r.ProducerIDStart, r.ProducerIDLen, nil
}
