package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/broker/config"
	"ottla/coordinator/txn"
	"ottla/zkmeta"
)

func txnConfig(s *config.Snapshot, log zerolog.Logger) txn.Config {
	return txn.Config{
		MaxTimeout:           millis(config.Get(s, config.TransactionMaxTimeoutMs)),
		IDExpiration:         millis(config.Get(s, config.TransactionalIdExpirationMs)),
		AbortOverdueInterval: millis(config.Get(s, config.TransactionAbortTimedOutTransactionCleanupIntervalMs)),
		ExpireInterval:       millis(config.Get(s, config.TransactionRemoveExpiredTransactionCleanupIntervalMs)),
		CommitTimeout:        millis(config.Get(s, config.RequestTimeoutMs)),
		LoadBytes:            int(config.Get(s, config.TransactionStateLogLoadBufferSize)),
		Log:                  log,
	}
}

// txnDeps is what the transaction coordinator asks of this broker.
func (b *Broker) txnDeps() txn.Deps {
	b.api.AskCoordinator = b.askCoordinator
	return txn.Deps{
		Partitions: func() int32 {
			if t := b.cache.Load().Topics[txn.Topic]; t != nil {
				return int32(len(t.Partitions))
			}
			return 0
		},
		NextProducerID: b.api.ProducerIDs.Next,
		Leader: func(topic string, partition int32) (int32, bool) {
			p, ok := b.cache.Load().Partition(topic, partition)
			return p.Leader, ok
		},
		Deleted:     b.partitionDeleted,
		SendMarkers: b.sendMarkers,
	}
}

// partitionDeleted asks the metadata store whether a partition does not exist.
func (b *Broker) partitionDeleted(ctx context.Context, topic string, partition int32) (bool, error) {
	a, _, err := zkmeta.ReadTopic(ctx, b.Session(), topic)
	if errors.Is(err, zkmeta.ErrNoNode) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, ok := a.Partitions[partition]
	return !ok, nil
}

// sendMarkers has transaction markers written by a broker; this one is called directly.
func (b *Broker) sendMarkers(ctx context.Context, broker int32, req *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	if broker == b.id {
		return b.api.WriteTxnMarkers(ctx, req), nil
	}
	addr, err := b.interBrokerAddr(broker)
	if err != nil {
		return nil, err
	}
	c, err := b.peers.shared(ctx, addr, forMarkers)
	if err != nil {
		return nil, err
	}
	v, ok := c.Version(req.Key(), req.Version)
	if !ok {
		return nil, fmt.Errorf("broker %d has no version of WriteTxnMarkers that is known here: %w", broker, kerr.UnsupportedVersion)
	}
	req.Version = v
	resp, err := b.peers.request(ctx, addr, forMarkers, req)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.WriteTxnMarkersResponse), nil
}

// firstBrokerVersion is the first version of AddPartitionsToTxn in which brokers ask.
const firstBrokerVersion = 4

// askCoordinator implements api.API.AskCoordinator.
func (b *Broker) askCoordinator(ctx context.Context, broker int32, req *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
	addr, err := b.interBrokerAddr(broker)
	if err != nil {
		return nil, err
	}
	c, err := b.peers.shared(ctx, addr, forVerifying)
	if err != nil {
		return nil, err
	}
	v, ok := c.Version(req.Key(), req.MaxVersion())
	if !ok || v < firstBrokerVersion {
		return nil, nil
	}
	req.Version = v
	resp, err := b.peers.request(ctx, addr, forVerifying, req)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.AddPartitionsToTxnResponse), nil
}

func (b *Broker) interBrokerAddr(broker int32) (string, error) {
	e, ok := b.cache.Load().Endpoint(broker, b.peers.listener)
	if !ok {
		return "", fmt.Errorf("broker %d is not known on listener %s: %w", broker, b.peers.listener, kerr.BrokerNotAvailable)
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), nil
}
