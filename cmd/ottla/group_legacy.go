package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"ottla/zkmeta"
	"ottla/zkmeta/ensemble"
)

// legacyOffsets are the offsets under /consumers.
type legacyOffsets interface {
	groups(ctx context.Context) ([]string, error)
	// read gives the offsets of a group. known bounds what is asked for, where it must be known what to ask for.
	read(ctx context.Context, group string, known map[topicPartition]bool) (map[topicPartition]int64, error)
	write(ctx context.Context, group string, tp topicPartition, offset int64) error
	// members are the old consumers of the group that are alive, as far as this can be told.
	members(ctx context.Context, group string) ([]string, error)
	close()
}

func (f *migrateFlags) legacyOffsets(ctx context.Context, c *clientFlags) (legacyOffsets, error) {
	if f.zookeeper != "" {
		return openTree(ctx, f.zookeeper, c.timeout, len(f.scopes) > 0)
	}
	old := kversion.Stable()
	old.SetMaxKeyVersion(int16(kmsg.OffsetCommit), 0)
	old.SetMaxKeyVersion(int16(kmsg.OffsetFetch), 0)
	client, err := c.client(kgo.MaxVersions(old))
	if err != nil {
		return nil, err
	}
	return &brokerOffsets{client}, nil
}

// treeOffsets looks into ZooKeeper itself.
type treeOffsets struct {
	store  *ensemble.Store
	s      zkmeta.Session
	scoped bool // only known partitions matter
}

func openTree(ctx context.Context, connect string, timeout time.Duration, scoped bool) (*treeOffsets, error) {
	servers, chroot := connect, ""
	if i := strings.IndexByte(connect, '/'); i >= 0 {
		servers, chroot = connect[:i], strings.TrimSuffix(connect[i:], "/")
	}
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	if chroot != "" { // a store makes its chroot, but a wrong name must not become one
		root, err := dialTree(ctx, servers, "")
		if err != nil {
			return nil, err
		}
		_, exists, err := root.s.Exists(ctx, chroot, nil)
		root.close()
		if err == nil && !exists {
			err = errors.New("it does not exist")
		}
		if err != nil {
			return nil, fmt.Errorf("chroot %s in ZooKeeper at %s: %w", chroot, servers, err)
		}
	}
	t, err := dialTree(ctx, servers, chroot)
	if err == nil {
		t.scoped = scoped
	}
	return t, err
}

func dialTree(ctx context.Context, servers, chroot string) (*treeOffsets, error) {
	store, err := ensemble.New(ensemble.Config{Servers: strings.Split(servers, ","), Chroot: chroot, Log: zerolog.Nop()})
	if err != nil {
		return nil, fmt.Errorf("--zookeeper: %w", err)
	}
	s, err := store.Connect(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to ZooKeeper at %s: %w", servers, err), store.Close())
	}
	return &treeOffsets{store: store, s: s}, nil
}

func (t *treeOffsets) close() { _ = t.store.Close() } // nothing is written any more

// children of a node, none if it does not exist.
func (t *treeOffsets) children(ctx context.Context, path string) ([]string, error) {
	names, _, err := t.s.Children(ctx, path, nil)
	if errors.Is(err, zkmeta.ErrNoNode) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

func (t *treeOffsets) groups(ctx context.Context) ([]string, error) {
	return t.children(ctx, zkmeta.ConsumersRoot)
}

func (t *treeOffsets) read(ctx context.Context, group string, known map[topicPartition]bool) (map[topicPartition]int64, error) {
	offsets := make(map[topicPartition]int64)
	root := zkmeta.ConsumersRoot + "/" + group + "/offsets"
	topics, err := t.children(ctx, root)
	if err != nil {
		return nil, err
	}
	for _, topic := range topics {
		partitions, err := t.children(ctx, root+"/"+topic)
		if err != nil {
			return nil, err
		}
		for _, name := range partitions {
			p, err := strconv.ParseInt(name, 10, 32)
			tp := topicPartition{topic, int32(p)}
			if err != nil || p < 0 || t.scoped && !known[tp] {
				continue
			}
			offset, ok, err := zkmeta.ReadConsumerOffset(ctx, t.s, group, topic, tp.partition)
			if err != nil {
				return nil, err
			}
			if ok && offset >= 0 {
				offsets[tp] = offset
			}
		}
	}
	return offsets, nil
}

func (t *treeOffsets) write(ctx context.Context, group string, tp topicPartition, offset int64) error {
	return zkmeta.WriteConsumerOffset(ctx, t.s, group, tp.topic, tp.partition, offset)
}

func (t *treeOffsets) members(ctx context.Context, group string) ([]string, error) {
	return t.children(ctx, zkmeta.ConsumersRoot+"/"+group+"/ids")
}

// brokerOffsets asks brokers, as a client older than Kafka 0.8.2 does: any broker answers.
type brokerOffsets struct{ client *kgo.Client }

func (b *brokerOffsets) close() { b.client.Close() }

func (b *brokerOffsets) groups(context.Context) ([]string, error) {
	return nil, errors.New("brokers do not list the groups in ZooKeeper: name them, or give --zookeeper")
}

func (b *brokerOffsets) members(context.Context, string) ([]string, error) { return nil, nil }

func (b *brokerOffsets) read(ctx context.Context, group string, known map[topicPartition]bool) (map[topicPartition]int64, error) {
	byTopic := make(map[string][]int32)
	for tp := range known {
		byTopic[tp.topic] = append(byTopic[tp.topic], tp.partition)
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	for topic, ps := range byTopic {
		rt := kmsg.NewOffsetFetchRequestTopic()
		rt.Topic, rt.Partitions = topic, ps
		req.Topics = append(req.Topics, rt)
	}
	resp, err := ask[*kmsg.OffsetFetchResponse](ctx, b, req)
	if err != nil {
		return nil, err
	}
	offsets := make(map[topicPartition]int64)
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			switch err := kerr.ErrorForCode(p.ErrorCode); {
			case errors.Is(err, kerr.UnknownTopicOrPartition): // there is no node
			case err != nil:
				return nil, fmt.Errorf("offset for %s-%d: %w", rt.Topic, p.Partition, err)
			case p.Offset >= 0:
				offsets[topicPartition{rt.Topic, p.Partition}] = p.Offset
			}
		}
	}
	return offsets, nil
}

// ask gives the request to the first of the bootstrap brokers that answers. The client would look for the group's coordinator, and
// repeat a request that is answered with UNKNOWN_TOPIC_OR_PARTITION, which says here that there is no znode.
func ask[R kmsg.Response](ctx context.Context, b *brokerOffsets, req kmsg.Request) (R, error) {
	var none R
	var errs []error
	for _, broker := range b.client.SeedBrokers() {
		resp, err := broker.Request(ctx, req)
		if err == nil {
			return resp.(R), nil
		}
		errs = append(errs, err)
	}
	return none, errors.Join(errs...)
}

func (b *brokerOffsets) write(ctx context.Context, group string, tp topicPartition, offset int64) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = group
	rt, rp := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
	metadata := ""
	rt.Topic, rp.Partition, rp.Offset, rp.Metadata = tp.topic, tp.partition, offset, &metadata
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := ask[*kmsg.OffsetCommitResponse](ctx, b, req)
	if err != nil {
		return err
	}
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("offset for %s: %w", tp, err)
			}
		}
	}
	return nil
}
