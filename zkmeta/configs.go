package zkmeta

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// An entity path names an entity as the change notifications do: "topics/t", "brokers/1",
// "brokers/<default>", "users/alice", "users/alice/clients/c1", "clients/c1", "ips/127.0.0.1". Users and
// clients are encoded in it (EncodeEntity).

// ReadConfig reads the overrides of an entity; one without a node has none.
func ReadConfig(ctx context.Context, s Session, entityPath string) (map[string]string, error) {
	c, _, err := readConfig(ctx, s, entityPath)
	return c, err
}

// readConfig also returns the node's version, -1 if there is none.
func readConfig(ctx context.Context, s Session, entityPath string) (map[string]string, int32, error) {
	data, stat, err := s.Get(ctx, ConfigRoot+"/"+entityPath, nil)
	if errors.Is(err, ErrNoNode) {
		return map[string]string{}, -1, nil
	}
	if err != nil {
		return nil, 0, err
	}
	c, err := DecodeConfig(data)
	if err != nil {
		return nil, 0, fmt.Errorf("%s/%s: %w", ConfigRoot, entityPath, err)
	}
	return c.Config, stat.Version, nil
}

// ReadTopicConfig reads the overrides of a topic.
func ReadTopicConfig(ctx context.Context, s Session, topic string) (map[string]string, error) {
	return ReadConfig(ctx, s, ConfigTopics+"/"+topic)
}

// ReadBrokerConfig reads the dynamic configuration of a broker ("1"), or DefaultEntity.
func ReadBrokerConfig(ctx context.Context, s Session, broker string) (map[string]string, error) {
	return ReadConfig(ctx, s, ConfigBrokers+"/"+broker)
}

// ReadAllConfigs reads all entities of a type, by name. For users see ReadUserClientConfigs too.
func ReadAllConfigs(ctx context.Context, s Session, entityType string) (map[string]map[string]string, error) {
	names, _, err := s.Children(ctx, ConfigType(entityType), nil)
	if errors.Is(err, ErrNoNode) {
		return map[string]map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = Config(entityType, name)
	}
	nodes, err := GetAll(ctx, s, paths)
	if err != nil {
		return nil, err
	}
	all := make(map[string]map[string]string, len(nodes))
	for i, n := range nodes {
		switch {
		case errors.Is(n.Err, ErrNoNode): // deleted meanwhile
			continue
		case n.Err != nil:
			return nil, n.Err
		}
		c, err := DecodeConfig(n.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", paths[i], err)
		}
		all[names[i]] = c.Config
	}
	return all, nil
}

// ReadAllTopicConfigs reads the overrides of all topics.
func ReadAllTopicConfigs(ctx context.Context, s Session) (map[string]map[string]string, error) {
	return ReadAllConfigs(ctx, s, ConfigTopics)
}

// ReadUserClientConfigs reads what is set for a client of a user, by "user/clients/client".
func ReadUserClientConfigs(ctx context.Context, s Session) (map[string]map[string]string, error) {
	users, _, err := s.Children(ctx, ConfigType(ConfigUsers), nil)
	if err != nil && !errors.Is(err, ErrNoNode) {
		return nil, err
	}
	found := make([]map[string]map[string]string, len(users))
	err = Pipeline(ctx, len(users), func(i int) error {
		var err error
		found[i], err = ReadAllConfigs(ctx, s, ConfigUsers+"/"+users[i]+"/"+ConfigClients)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make(map[string]map[string]string)
	for i, clients := range found {
		for client, config := range clients {
			all[users[i]+"/"+ConfigClients+"/"+client] = config
		}
	}
	return all, nil
}

// ChangeTopicConfig, ChangeBrokerConfig and ChangeConfig replace all overrides of an entity and notify
// the brokers.
func ChangeTopicConfig(ctx context.Context, s Session, topic string, config map[string]string) error {
	return ChangeConfig(ctx, s, ConfigTopics+"/"+topic, config)
}

// ChangeBrokerConfig is ChangeConfig for a broker ("1") or DefaultEntity.
func ChangeBrokerConfig(ctx context.Context, s Session, broker string, config map[string]string) error {
	return ChangeConfig(ctx, s, ConfigBrokers+"/"+broker, config)
}

// ChangeConfig replaces all overrides of the entity and notifies the brokers. A quota entity left without
// overrides is deleted, unless clients are below it.
func ChangeConfig(ctx context.Context, s Session, entityPath string, config map[string]string) error {
	return UpdateConfig(ctx, s, entityPath, func(current map[string]string) error {
		clear(current)
		for k, v := range config {
			current[k] = v
		}
		return nil
	})
}

// UpdateConfig reads the overrides of an entity, lets change edit them, writes them and notifies the
// brokers. If another writer was faster, change is called again with what that one wrote.
//
// Errors: what change returns; NOT_CONTROLLER if there is no ZooKeeper controller, or a KRaft one.
func UpdateConfig(ctx context.Context, s Session, entityPath string, change func(current map[string]string) error) error {
	err := updateConfig(ctx, s, entityPath, change)
	if err == nil {
		err = NotifyConfigChange(ctx, s, entityPath)
	}
	if err != nil {
		return fmt.Errorf("change config of %s: %w", entityPath, err)
	}
	return nil
}

func updateConfig(ctx context.Context, s Session, entityPath string, change func(map[string]string) error) error {
	for {
		config, version, err := readConfig(ctx, s, entityPath)
		if err != nil {
			return err
		}
		if err := change(config); err != nil {
			return err
		}
		if len(config) == 0 && quotaEntity(entityPath) {
			done, err := cleanQuotaNodes(ctx, s, entityPath)
			if done || err != nil {
				return err
			}
		}
		err = writeConfig(ctx, s, entityPath, config, version)
		again := errors.Is(err, ErrBadVersion) || errors.Is(err, ErrNodeExists) || errors.Is(err, ErrNoNode) ||
			mayRetry(ctx, err)
		if !again || ctx.Err() != nil {
			return err
		}
		if err := pause(ctx, s, lossPause); err != nil {
			return err
		}
	}
}

// noControllerWait is how long a config write waits for a controller to be elected.
const noControllerWait = 10 * time.Second

// writeConfig writes an entity that was read with that version, fenced by the version of /controller so
// that nothing is written once a KRaft controller has taken over (KafkaZkClient.setOrCreateEntityConfigs).
//
// Errors: ErrBadVersion, ErrNodeExists, ErrNoNode if the entity has changed since it was read.
func writeConfig(ctx context.Context, s Session, entityPath string, config map[string]string, version int32) error {
	path, data := ConfigRoot+"/"+entityPath, ConfigEntity{config}.Encode()
	for deadline := time.Now().Add(noControllerWait); ; {
		controllerVersion, err := controllerVersion(ctx, s)
		if err == nil {
			setVersion := version
			if version < 0 {
				setVersion = math.MaxInt32 // fails also if the node has appeared meanwhile
			}
			_, err = s.Multi(ctx, CheckOp(Controller, controllerVersion), SetOp(path, data, setVersion))
			if version < 0 && errors.Is(err, ErrNoNode) && FailedAt(err, 1) {
				return CreateRecursive(ctx, s, path, data)
			}
			if !FailedAt(err, 0) {
				return err
			}
		} else if !errors.Is(err, ErrNoNode) {
			return err
		}
		// No controller, or a new one since it was read.
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: no controller is elected", kerr.NotController)
		}
		if err := pause(ctx, s, lossPause); err != nil {
			return err
		}
	}
}

func controllerVersion(ctx context.Context, s Session) (int32, error) {
	data, stat, err := s.Get(ctx, Controller, nil)
	if err != nil {
		return 0, err
	}
	c, err := DecodeController(data)
	if err == nil && c.KRaftControllerEpoch >= 0 {
		err = fmt.Errorf("%w: a KRaft controller has taken over the cluster (epoch %d)", kerr.NotController, c.KRaftControllerEpoch)
	}
	return stat.Version, err
}

// NotifyConfigChange makes all brokers read the entity again.
func NotifyConfigChange(ctx context.Context, s Session, entityPath string) error {
	return untilKnown(ctx, s, func() error { // twice does no harm
		_, err := s.Create(ctx, ConfigChangesRoot+"/"+ConfigChangePrefix, ConfigChange{entityPath}.Encode(), PersistentSequential, nil)
		if errors.Is(err, ErrNoNode) {
			if err := ensure(ctx, s, ConfigChangesRoot); err != nil {
				return err
			}
			_, err = s.Create(ctx, ConfigChangesRoot+"/"+ConfigChangePrefix, ConfigChange{entityPath}.Encode(), PersistentSequential, nil)
		}
		return err
	})
}

func quotaEntity(entityPath string) bool {
	entityType, _, _ := strings.Cut(entityPath, "/")
	return entityType == ConfigUsers || entityType == ConfigClients || entityType == ConfigIPs
}

// cleanQuotaNodes deletes the node of a user, client or ip that has no overrides left, and of
// user/clients/client the parents that are of no more use (AdminZkClient.tryCleanQuotaNodes). Children of
// the entity keep it.
func cleanQuotaNodes(ctx context.Context, s Session, entityPath string) (done bool, err error) {
	path := ConfigRoot + "/" + entityPath
	err = untilKnown(ctx, s, func() error { return s.Delete(ctx, path, AnyVersion) })
	switch {
	case errors.Is(err, ErrNotEmpty):
		return false, nil
	case err != nil && !errors.Is(err, ErrNoNode):
		return false, err
	}
	parts := strings.Split(entityPath, "/")
	if len(parts) != 4 || parts[0] != ConfigUsers || parts[2] != ConfigClients {
		return true, nil
	}
	user := Config(ConfigUsers, parts[1])
	for _, parent := range []string{user + "/" + ConfigClients, user} {
		data, stat, err := s.Get(ctx, parent, nil)
		if err == nil {
			var c ConfigEntity
			if c, err = DecodeConfig(data); err == nil && len(c.Config) > 0 {
				return true, nil
			}
			if err == nil {
				err = s.Delete(ctx, parent, stat.Version)
			}
		}
		switch {
		case err == nil, errors.Is(err, ErrNoNode):
		case errors.Is(err, ErrNotEmpty), errors.Is(err, ErrBadVersion):
			return true, nil // in use
		default:
			return true, err
		}
	}
	return true, nil
}
