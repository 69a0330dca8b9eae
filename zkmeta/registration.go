package zkmeta

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
)

// persistentPaths are made by each broker that starts, in this order (ZkData.PersistentZkPaths).
var persistentPaths = []string{
	ConsumersRoot, BrokersIDs, BrokersTopics, ConfigChangesRoot, DeleteTopics, BrokersSeqID, IsrChangeNotification,
	LatestProducerIDBlock, LogDirEventNotification,
	ConfigRoot + "/" + ConfigTopics, ConfigRoot + "/" + ConfigClients, ConfigRoot + "/" + ConfigUsers,
	ConfigRoot + "/" + ConfigBrokers, ConfigRoot + "/" + ConfigIPs,
}

// EnsurePersistent creates the directory nodes that brokers expect: on an empty tree in one transaction, otherwise those that are missing.
func EnsurePersistent(ctx context.Context, s Session) error {
	var all []Op
	made := make(map[string]bool)
	for _, path := range persistentPaths {
		for i := 1; i <= len(path); i++ {
			if i < len(path) && path[i] != '/' || made[path[:i]] {
				continue
			}
			made[path[:i]] = true
			all = append(all, CreateOp(path[:i], nil, Persistent, nil))
		}
	}
	if _, err := s.Multi(ctx, all...); err == nil {
		return nil // any error is met again, or the nodes are there
	}
	for _, path := range persistentPaths {
		if err := ensure(ctx, s, path); err != nil {
			return fmt.Errorf("create the persistent znodes: %w", err)
		}
	}
	return nil
}

// NewUUID is a random id in Kafka's text form, for clusters and topics: not one of the reserved ones and
// not starting with a dash (org.apache.kafka.common.Uuid.randomUuid).
func NewUUID() [16]byte {
	for {
		var id [16]byte
		if _, err := rand.Read(id[:]); err != nil {
			panic(err) // crypto/rand does not fail since Go 1.24
		}
		id[6] = id[6]&0x0f | 0x40 // version 4
		id[8] = id[8]&0x3f | 0x80 // RFC 4122
		if EncodeTopicID(id)[0] != '-' {
			return id
		}
	}
}

// ClusterID reads the cluster id, or makes it proposed if there is none yet.
func ClusterID(ctx context.Context, s Session, proposed string) (string, error) {
	var id string
	err := untilKnown(ctx, s, func() error {
		data, _, err := s.Get(ctx, ClusterIDPath, nil)
		if errors.Is(err, ErrNoNode) {
			err = CreateRecursive(ctx, s, ClusterIDPath, ClusterIDNode{proposed}.Encode())
			if err == nil {
				id = proposed
				return nil
			}
			if errors.Is(err, ErrNodeExists) {
				data, _, err = s.Get(ctx, ClusterIDPath, nil)
			}
		}
		if err != nil {
			return err
		}
		node, err := DecodeClusterID(data)
		id = node.ID
		return err
	})
	if err != nil {
		return "", fmt.Errorf("cluster id: %w", err)
	}
	return id, nil
}

// GenerateBrokerID takes the next broker id above reservedMax (reserved.broker.max.id).
func GenerateBrokerID(ctx context.Context, s Session, reservedMax int32) (int32, error) {
	var version int32
	err := untilKnown(ctx, s, func() error { // a lost answer costs an id
		stat, err := s.Set(ctx, BrokersSeqID, []byte{}, AnyVersion)
		if errors.Is(err, ErrNoNode) {
			if err := ensure(ctx, s, BrokersSeqID); err != nil {
				return err
			}
			stat, err = s.Set(ctx, BrokersSeqID, []byte{}, AnyVersion)
		}
		version = stat.Version
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("generate a broker id: %w", err)
	}
	if int64(reservedMax)+int64(version) > 1<<31-1 {
		return 0, fmt.Errorf("generate a broker id: sequence number %d is too large", version)
	}
	return reservedMax + version, nil
}

// How long Register waits before it looks again at a registration that is in its way, at most, and how
// often it says so.
const (
	takeoverPoll = time.Second
	takeoverSay  = 5 * time.Second
)

// Register writes /brokers/ids/<id> as an ephemeral node of the session and returns the broker epoch, its
// czxid. The node is created and written in one transaction, so that nobody reads it empty.
//
// A node that is there already belongs to one of three. To s: an earlier attempt whose answer got lost; it
// counts. To prevOwner, the session of this broker's last run (0 if unknown): it is deleted. To anybody
// else: a second broker with this id, or the last run of this one when its session was not recorded;
// Register waits until it is gone, and says so in the log of ctx (zerolog.Ctx).
//
// Errors: when ctx ends meanwhile, DUPLICATE_BROKER_REGISTRATION.
func Register(ctx context.Context, s Session, info BrokerInfo, prevOwner int64) (brokerEpoch int64, err error) {
	r := registrar{s: s, info: info, path: Broker(info.ID), prevOwner: prevOwner}
	for {
		epoch, done, err := r.attempt(ctx)
		if err == nil && done {
			return epoch, nil
		}
		if err == nil {
			continue
		}
		if r.otherOwner != 0 && ctx.Err() != nil {
			err = fmt.Errorf("%w: session %x has registered it: %w", kerr.DuplicateBrokerRegistration, uint64(r.otherOwner), err)
		}
		return 0, fmt.Errorf("register broker %d: %w", info.ID, err)
	}
}

// registrar is one Register.
type registrar struct {
	s          Session
	info       BrokerInfo
	path       string
	prevOwner  int64
	otherOwner int64     // the session that has the node, as last seen; 0 if none is in the way
	said       time.Time // when the log last named otherOwner
}

// attempt tries to register, or waits for what is in the way to change. Without done or an error there is
// to be another attempt.
func (r *registrar) attempt(ctx context.Context) (epoch int64, done bool, err error) {
	results, err := r.s.Multi(ctx, CreateOp(r.path, nil, Ephemeral, nil), SetOp(r.path, r.info.Encode(), 0))
	switch {
	case err == nil:
		return results[1].Stat.Czxid, true, nil
	case errors.Is(err, ErrNoNode) && FailedAt(err, 0):
		return 0, false, ensure(ctx, r.s, BrokersIDs)
	case errors.Is(err, ErrNodeExists) && FailedAt(err, 0):
	case mayRetry(ctx, err): // it may be there now
	default:
		return 0, false, err
	}
	gone := make(chan struct{}, 1)
	watch := NewWatch(func(Event) { gone <- struct{}{} })
	defer watch.Cancel()
	stat, exists, err := r.s.Exists(ctx, r.path, watch)
	switch {
	case err != nil && mayRetry(ctx, err):
		return 0, false, pause(ctx, r.s, lossPause)
	case err != nil:
		return 0, false, err
	case !exists:
		r.otherOwner = 0
		return 0, false, nil
	case stat.EphemeralOwner == r.s.ID():
		return stat.Czxid, true, nil
	case r.prevOwner != 0 && stat.EphemeralOwner == r.prevOwner:
		zerolog.Ctx(ctx).Info().Int32("broker", r.info.ID).Msg("deleting the registration of this broker's last run")
		err := r.s.Delete(ctx, r.path, stat.Version)
		if errors.Is(err, ErrNoNode) || errors.Is(err, ErrBadVersion) || err != nil && mayRetry(ctx, err) {
			err = nil
		}
		return 0, false, err
	}
	r.otherOwner = stat.EphemeralOwner
	return 0, false, r.wait(ctx, gone)
}

// wait waits for the end of the other registration, or for the time to look again.
func (r *registrar) wait(ctx context.Context, gone <-chan struct{}) error {
	if time.Since(r.said) >= takeoverSay {
		r.said = time.Now()
		zerolog.Ctx(ctx).Warn().Int32("broker", r.info.ID).Str("owner", strconv.FormatUint(uint64(r.otherOwner), 16)).
			Msg("another session has registered this broker id, waiting until it is gone")
	}
	timer := time.NewTimer(takeoverPoll)
	defer timer.Stop()
	select {
	case <-gone:
	case <-timer.C:
	case <-r.s.Expired():
		return ErrSessionExpired
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// UpdateRegistration rewrites the registration, for changed listeners. The broker epoch stays.
func UpdateRegistration(ctx context.Context, s Session, info BrokerInfo) error {
	err := untilKnown(ctx, s, func() error {
		_, err := s.Set(ctx, Broker(info.ID), info.Encode(), AnyVersion)
		return err
	})
	if err != nil {
		return fmt.Errorf("update the registration of broker %d: %w", info.ID, err)
	}
	return nil
}

// ReadBrokers reads all registered brokers, with their epochs. A registration that cannot be read is
// left out and reported in bad.
func ReadBrokers(ctx context.Context, s Session) (brokers map[int32]BrokerInfo, bad []error, err error) {
	names, _, err := s.Children(ctx, BrokersIDs, nil)
	if errors.Is(err, ErrNoNode) {
		return map[int32]BrokerInfo{}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var ids []int32
	var paths []string
	for _, name := range names {
		id, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			bad = append(bad, fmt.Errorf("broker id %q is not a number", name))
			continue
		}
		ids, paths = append(ids, int32(id)), append(paths, Broker(int32(id)))
	}
	nodes, err := GetAll(ctx, s, paths)
	if err != nil {
		return nil, nil, err
	}
	brokers = make(map[int32]BrokerInfo, len(nodes))
	for i, n := range nodes {
		if errors.Is(n.Err, ErrNoNode) {
			continue
		}
		var b BrokerInfo
		if err = n.Err; err == nil {
			b, err = DecodeBroker(ids[i], n.Data)
		}
		if err != nil {
			bad = append(bad, err)
			continue
		}
		b.Epoch = n.Stat.Czxid
		brokers[b.ID] = b
	}
	return brokers, bad, nil
}
