package replication

import (
	"context"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/storage"
	"ottla/wire"
)

// Config is what a Manager needs to know; the zero value of a field means the default named beside it.
type Config struct {
	BrokerID int32
	Log      zerolog.Logger

	LagTimeMax    time.Duration // replica.lag.time.max.ms, 30 s
	FetchMaxBytes int32         // fetch.max.bytes, 55 MiB
	SessionSlots  int           // max.incremental.fetch.session.cache.slots, 1000; negative: none
	Rack          string        // broker.rack
	// RackAware is set when replica.selector.class names Kafka's RackAwareReplicaSelector (KIP-392).
	RackAware bool
	// NewsDelay is how long a leader may keep a follower's fetch waiting when the only news is a higher high watermark.
	// Kafka answers at once if a replica selector is set and otherwise keeps the news for the next data (KAFKA-9731). 20 ms; at once if RackAware.
	NewsDelay time.Duration

	Fetchers               int           // num.replica.fetchers, 1
	FetchPartitionMaxBytes int32         // replica.fetch.max.bytes, 1 MiB
	FetchResponseMaxBytes  int32         // replica.fetch.response.max.bytes, 10 MiB
	FetchMinBytes          int32         // replica.fetch.min.bytes, 1
	FetchWaitMax           time.Duration // replica.fetch.wait.max.ms, 500 ms
	FetchBackoff           time.Duration // replica.fetch.backoff.ms, 1 s
	FetchTimeout           time.Duration // replica.socket.timeout.ms, 30 s
	// FetchVersion is the highest Fetch version that followers send (inter.broker.protocol.version). 17; versions below 13 name topics.
	FetchVersion int16
	// AlterPartitionRetry is the pause before an ISR change that failed is sent again. 50 ms, as Kafka's AlterPartitionManager.
	AlterPartitionRetry time.Duration
	// Patience is how long the controller may take to accept a smaller ISR before a leader that hears none of its followers counts as
	// isolated: zookeeper.session.timeout.ms, 18 s.
	Patience time.Duration
}

func (c Config) withDefaults() Config {
	c.LagTimeMax = orDefault(c.LagTimeMax, 30*time.Second)
	c.FetchMaxBytes = orDefault(c.FetchMaxBytes, 55<<20)
	c.SessionSlots = orDefault(c.SessionSlots, 1000)
	if c.RackAware {
		c.NewsDelay = 0
	} else {
		c.NewsDelay = orDefault(c.NewsDelay, 20*time.Millisecond)
	}
	c.Fetchers = orDefault(c.Fetchers, 1)
	c.FetchPartitionMaxBytes = orDefault(c.FetchPartitionMaxBytes, 1<<20)
	c.FetchResponseMaxBytes = orDefault(c.FetchResponseMaxBytes, 10<<20)
	c.FetchMinBytes = orDefault(c.FetchMinBytes, 1)
	c.FetchWaitMax = orDefault(c.FetchWaitMax, 500*time.Millisecond)
	c.FetchBackoff = orDefault(c.FetchBackoff, time.Second)
	c.FetchTimeout = orDefault(c.FetchTimeout, 30*time.Second)
	c.FetchVersion = orDefault(c.FetchVersion, 17)
	c.AlterPartitionRetry = orDefault(c.AlterPartitionRetry, 50*time.Millisecond)
	c.Patience = orDefault(c.Patience, 18*time.Second)
	return c
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// MetadataView is what replication asks of the cluster metadata, as the controller last sent it. Its methods take no lock of replication.
type MetadataView interface {
	// Contains says that the cluster has that partition, hosted here or elsewhere.
	Contains(topic string, partition int32) bool
	// ContainsID finds the topic with that id.
	ContainsID(id [16]byte) (topic string, ok bool)
	// Alive says that the broker is registered.
	Alive(broker int32) bool
	// Endpoint is where other brokers reach the broker, and its rack.
	Endpoint(broker int32) (host string, port int32, rack string, ok bool)
}

// Deps are the parts of the broker that a Manager works with.
type Deps struct {
	Logs *storage.Manager
	// BrokerEpoch is that of the broker's present registration.
	BrokerEpoch func() int64
	Metadata    MetadataView
	// AlterPartition sends a request to the controller and waits for its answer.
	AlterPartition func(ctx context.Context, req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error)
	// Dial opens a connection to a broker's inter-broker listener; clientID is the client id to use on it.
	Dial func(ctx context.Context, broker int32) (*wire.Client, error)
	// OnLeadership is called after each LeaderAndIsr or StopReplica with what changed, in the order of the requests.
	OnLeadership func(changes []LeaderChange)
	// OnIsolated is called when this broker leads and hears none of those that follow it (isolation.go); it is to have the leaderships taken over,
	// and is called again and again until ResignAll. Nil: leaders stay.
	OnIsolated func()
}

// LeaderChange says that this broker began (Leader) or ceased to lead a partition.
type LeaderChange struct {
	TopicPartition storage.TopicPartition
	Leader         bool
	Epoch          int32 // leader epoch; -1 if unknown (StopReplica of a deleted topic)
}
