package broker

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"ottla/broker/config"
	"ottla/broker/metadata"
	"ottla/coordinator/group"
	"ottla/coordinator/group/consumer"
	"ottla/zkmeta"
)

// topicsView is the topics of a metadata snapshot as the group coordinator sees them.
type topicsView struct{ *metadata.Snapshot }

// Version implements consumer.Topics: snapshots count from 0.
func (v topicsView) Version() uint64 { return v.Snapshot.Version + 1 }

func (v topicsView) ByName(name string) (consumer.Topic, bool) { return asTopic(v.Topics[name]) }

func (v topicsView) ByID(id consumer.TopicID) (consumer.Topic, bool) { return asTopic(v.IDs[id]) }

func (v topicsView) Names() iter.Seq[string] { return maps.Keys(v.Topics) }

// Racks implements consumer.Topics.
func (v topicsView) Racks(name string, partition int32) []string {
	p, ok := v.Partition(name, partition)
	if !ok {
		return nil
	}
	var racks []string
	for _, id := range p.Replicas {
		if b := v.Brokers[id]; b != nil && b.Rack != nil {
			racks = append(racks, *b.Rack)
		}
	}
	slices.Sort(racks)
	return slices.Compact(racks)
}

// groupTopics is Deps.Topics of the group coordinator: nothing until the controller has told this broker of the cluster.
func (b *Broker) groupTopics() consumer.Topics {
	s := b.cache.Load()
	if s.Brokers[b.id] == nil {
		return nil
	}
	return topicsView{s}
}

// asTopic leaves out topics without an id, which members could not be told of.
func asTopic(t *metadata.Topic) (consumer.Topic, bool) {
	if t == nil || t.ID == (consumer.TopicID{}) {
		return consumer.Topic{}, false
	}
	return consumer.Topic{Name: t.Name, ID: t.ID, Partitions: int32(len(t.Partitions))}, true
}

// groupConfigs are the configs that groups have of their own, as the metadata store has them.
type groupConfigs struct {
	log zerolog.Logger

	mu     sync.RWMutex
	groups map[string]config.GroupConfig
}

// get is Deps.GroupConfig of the group coordinator.
func (c *groupConfigs) get(group string) (session, heartbeat time.Duration) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g := c.groups[group]
	return millis(g.SessionTimeoutMs), millis(g.HeartbeatIntervalMs)
}

// set takes over the configs of the group that the znode is named for.
func (c *groupConfigs) set(znode string, overrides map[string]string) {
	name, err := zkmeta.DecodeEntity(znode)
	if err != nil {
		c.log.Warn().Err(err).Str("entity", "groups/"+znode).Msg("name of a group cannot be read")
		return
	}
	g, err := config.ParseGroup(overrides)
	if err != nil {
		c.log.Warn().Err(err).Str("group", name).Msg("some group configs are not valid; the broker's hold for them")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.groups == nil {
		c.groups = make(map[string]config.GroupConfig)
	}
	if g == (config.GroupConfig{}) {
		delete(c.groups, name)
		return
	}
	c.groups[name] = g
}

// loadGroupConfigs reads the configs of all groups.
func (b *Broker) loadGroupConfigs(ctx context.Context) error {
	all, err := zkmeta.ReadAllConfigs(ctx, b.Session(), zkmeta.ConfigGroups)
	if err != nil {
		return fmt.Errorf("read group configs: %w", err)
	}
	b.groupConfigs.mu.Lock()
	clear(b.groupConfigs.groups)
	b.groupConfigs.mu.Unlock()
	for znode, overrides := range all {
		b.groupConfigs.set(znode, overrides)
	}
	return nil
}

func (b *Broker) groupConfigChanged(ctx context.Context, znode string) error {
	overrides, err := zkmeta.ReadConfig(ctx, b.Session(), zkmeta.ConfigGroups+"/"+znode)
	if err == nil {
		b.groupConfigs.set(znode, overrides)
	}
	return err
}

// consumerConfig are the settings of the consumer group protocol.
func consumerConfig(s *config.Snapshot) group.ConsumerConfig {
	c := group.ConsumerConfig{
		SessionTimeout:    millis(config.Get(s, config.GroupConsumerSessionTimeoutMs)),
		SessionTimeoutMin: millis(config.Get(s, config.GroupConsumerMinSessionTimeoutMs)),
		SessionTimeoutMax: millis(config.Get(s, config.GroupConsumerMaxSessionTimeoutMs)),
		Heartbeat:         millis(config.Get(s, config.GroupConsumerHeartbeatIntervalMs)),
		HeartbeatMin:      millis(config.Get(s, config.GroupConsumerMinHeartbeatIntervalMs)),
		HeartbeatMax:      millis(config.Get(s, config.GroupConsumerMaxHeartbeatIntervalMs)),
		MaxSize:           int(config.Get(s, config.GroupConsumerMaxSize)),
		Migration:         group.ParseMigrationPolicy(config.Get(s, config.GroupConsumerMigrationPolicy)),
	}
	for _, a := range config.Get(s, config.GroupConsumerAssignors) {
		if name := group.AssignorName(a); name != "" && !slices.Contains(c.Assignors, name) {
			c.Assignors = append(c.Assignors, name)
		}
	}
	return c
}

// consumerProtocol tells whether the broker serves the consumer group protocol.
func consumerProtocol(s *config.Snapshot) bool {
	return slices.ContainsFunc(config.Get(s, config.GroupCoordinatorRebalanceProtocols), func(p string) bool { return strings.TrimSpace(p) == "consumer" })
}
