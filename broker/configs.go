package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ottla/broker/config"
	"ottla/broker/topicconfig"
	"ottla/zkmeta"
)

// loadConfigs reads what the metadata store holds of configuration: the dynamic broker configs, the topics' overrides and
// those of groups.
func (b *Broker) loadConfigs(ctx context.Context) error {
	if err := b.loadBrokerConfigs(ctx); err != nil {
		return err
	}
	b.groupConfigs.log = b.part("config")
	if err := b.loadGroupConfigs(ctx); err != nil {
		return err
	}
	overrides, err := zkmeta.ReadAllTopicConfigs(ctx, b.Session())
	if err != nil {
		return fmt.Errorf("read topic configs: %w", err)
	}
	b.topics = topicconfig.New(b.cfg, overrides, b.readTopicConfig, b.part("config"))
	return nil
}

// reloadConfigs is loadConfigs for a new session: a change may have been written, and its notification deleted, while there was none.
func (b *Broker) reloadConfigs(ctx context.Context) {
	overrides, err := zkmeta.ReadAllTopicConfigs(ctx, b.Session())
	if err == nil {
		b.topics.Replace(overrides)
		b.logs.UpdateAllConfigs()
		err = errors.Join(b.loadBrokerConfigs(ctx), b.loadGroupConfigs(ctx))
	}
	if err != nil {
		b.log.Warn().Err(err).Msg("configs could not be read again in the new metadata session; the former hold until they change")
	}
}

// loadBrokerConfigs reads /config/brokers/<default> and /config/brokers/<id>.
func (b *Broker) loadBrokerConfigs(ctx context.Context) error {
	for _, entity := range []string{zkmeta.DefaultEntity, strconv.Itoa(int(b.id))} {
		values, err := zkmeta.ReadBrokerConfig(ctx, b.Session(), entity)
		if err != nil {
			return fmt.Errorf("read dynamic configs of brokers/%s: %w", entity, err)
		}
		set := b.cfg.SetBroker
		if entity == zkmeta.DefaultEntity {
			set = b.cfg.SetDefault
		}
		if err := set(values); err != nil {
			b.log.Warn().Err(err).Str("entity", "brokers/"+entity).Msg("some dynamic configs are not valid and keep their former value")
		}
	}
	return nil
}

// watchConfigs follows /config/changes until the session ends.
func (b *Broker) watchConfigs(ctx context.Context, s zkmeta.Session) {
	log := b.part("config")
	b.wg.Go(func() {
		err := b.changes.Run(log.WithContext(ctx), s)
		if ctx.Err() == nil && !errors.Is(err, zkmeta.ErrSessionExpired) {
			log.Warn().Err(err).Msg("configuration changes are not followed any more in this session")
		}
	})
}

// readMissedConfigs reads, until it succeeds, the configs of topics that could not be read when their logs were made: nobody asks for them again.
func (b *Broker) readMissedConfigs(ctx context.Context) {
	for {
		select {
		case <-b.topics.Failed():
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			unread := b.topics.Unread()
			if len(unread) == 0 {
				break
			}
			for _, topic := range unread {
				if err := b.topicConfigChanged(topic); err == nil {
					b.log.Info().Str("topic", topic).Msg("topic configs were read after all")
				}
			}
			select {
			case <-time.After(renewPause):
			case <-ctx.Done():
			}
		}
	}
}

// configChanged applies a change that was written to the metadata store, by us or by another broker.
func (b *Broker) configChanged(entityPath string) {
	ctx, stop := context.WithTimeout(b.ctx, configReadTimeout)
	defer stop()
	kind, name, _ := strings.Cut(entityPath, "/")
	var err error
	switch kind {
	case "topics":
		err = b.topicConfigChanged(name)
	case "brokers":
		err = b.loadBrokerConfigs(ctx)
	case zkmeta.ConfigGroups:
		err = b.groupConfigChanged(ctx, name)
	default:
		return // quotas, users and addresses are not served
	}
	if err != nil {
		b.log.Warn().Err(err).Str("entity", entityPath).Msg("a configuration change could not be read")
		return
	}
	b.log.Info().Str("entity", entityPath).Msg("configuration changed")
}

// readTopicConfig reads a topic's overrides; a topic without the node has none.
func (b *Broker) readTopicConfig(topic string) (map[string]string, error) {
	ctx, stop := context.WithTimeout(b.ctx, configReadTimeout)
	defer stop()
	return zkmeta.ReadTopicConfig(ctx, b.Session(), topic)
}

// configReadTimeout bounds a read of one entity's configs.
const configReadTimeout = 10 * time.Second

func (b *Broker) topicConfigChanged(topic string) error {
	values, err := b.topics.Refresh(topic)
	if err != nil {
		return err
	}
	b.logs.UpdateConfig(topic)
	if strings.EqualFold(values["unclean.leader.election.enable"], "true") {
		b.controller.UncleanElectionEnabled(topic)
	}
	return nil
}

// brokerConfigChanged hands new values to the parts that keep a copy. Topics take their defaults from the broker's configs.
func (b *Broker) brokerConfigChanged(before, after *config.Snapshot) {
	b.server.SetLimits(limits(after))
	b.logs.UpdateAllConfigs()
	b.logs.SetCleaner(cleanerConfig(after))
	b.logs.SetMoveThrottle(moveThrottle(after))
	b.replication.Load().SetReplicationThrottles(replicationThrottles(after))
	if config.Get(after, config.UncleanLeaderElectionEnable) && !config.Get(before, config.UncleanLeaderElectionEnable) {
		b.controller.UncleanElectionEnabled("")
	}
}
