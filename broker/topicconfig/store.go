// Package topicconfig holds the topics' configuration overrides, as the metadata store has them, and turns them, with the broker's
// defaults, into what a log works with.
package topicconfig

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"ottla/broker/config"
	"ottla/storage"
)

// Store knows the overrides of every topic. Its methods may be called from any goroutine; the maps that it gives out are not changed.
type Store struct {
	config *config.Dynamic
	read   Reader
	log    zerolog.Logger

	reading sync.Mutex // a read and what becomes of it, so that an older read never lands last; before mu

	mu     sync.RWMutex
	topics map[string]map[string]string
	unread map[string]struct{} // topics whose configs could not be read when they were asked for
	failed chan struct{}       // has room for one: unread got another one
}

// Reader reads a topic's overrides from the metadata store; none is not an error.
type Reader func(topic string) (map[string]string, error)

// New starts with what the metadata store holds. read is asked for topics that were created since: nobody is notified of those.
func New(c *config.Dynamic, overrides map[string]map[string]string, read Reader, log zerolog.Logger) *Store {
	s := &Store{config: c, read: read, log: log, unread: make(map[string]struct{}), failed: make(chan struct{}, 1)}
	s.Replace(overrides)
	return s
}

// Set replaces the topic's own configs.
func (s *Store) Set(topic string, overrides map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics[topic] = maps.Clone(overrides)
	delete(s.unread, topic)
}

// Refresh reads the topic's own configs again.
func (s *Store) Refresh(topic string) (map[string]string, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	overrides, err := s.read(topic)
	if err == nil {
		s.Set(topic, overrides)
	}
	return overrides, err
}

// Replace takes over what the metadata store holds of all topics now.
func (s *Store) Replace(overrides map[string]map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.unread)
	s.topics = maps.Clone(overrides)
	if s.topics == nil {
		s.topics = make(map[string]map[string]string)
	}
}

// Forget drops deleted topics.
func (s *Store) Forget(topics []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range topics {
		delete(s.topics, t)
		delete(s.unread, t)
	}
}

// Log is the effective configuration of the topic's logs.
func (s *Store) Log(topic string) storage.LogConfig {
	s.mu.RLock()
	overrides, known := s.topics[topic]
	s.mu.RUnlock()
	if !known {
		var err error
		if overrides, err = s.Refresh(topic); err != nil {
			s.miss(topic)
			s.log.Error().Err(err).Str("topic", topic).Msg("topic configs could not be read; the broker's defaults hold until they can")
		}
	}
	return logConfig(s.config.Snapshot(), overrides, &s.log)
}

func (s *Store) miss(topic string) {
	s.mu.Lock()
	s.unread[topic] = struct{}{}
	s.mu.Unlock()
	select {
	case s.failed <- struct{}{}:
	default:
	}
}

// Failed gets a value when there may be Unread topics.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Unread are the topics that are used with the broker's defaults because their configs could not be read; a Refresh that succeeds ends that.
func (s *Store) Unread() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.unread))
}

func logConfig(s *config.Snapshot, overrides map[string]string, log *zerolog.Logger) storage.LogConfig {
	t, err := s.Topic(overrides)
	if err != nil {
		log.Warn().Err(err).Msg("some topic configs in the metadata store are not valid; the broker's defaults hold for them")
	}
	c := storage.LogConfig{
		SegmentBytes:           config.TopicGet(t, config.TopicSegmentBytes),
		SegmentMs:              config.TopicGet(t, config.TopicSegmentMs),
		SegmentJitterMs:        config.TopicGet(t, config.TopicSegmentJitterMs),
		SegmentIndexBytes:      config.TopicGet(t, config.TopicSegmentIndexBytes),
		IndexIntervalBytes:     config.TopicGet(t, config.TopicIndexIntervalBytes),
		RetentionMs:            config.TopicGet(t, config.TopicRetentionMs),
		RetentionBytes:         config.TopicGet(t, config.TopicRetentionBytes),
		FileDeleteDelayMs:      config.TopicGet(t, config.TopicFileDeleteDelayMs),
		FlushMessages:          config.TopicGet(t, config.TopicFlushMessages),
		FlushMs:                config.TopicGet(t, config.TopicFlushMs),
		MaxMessageBytes:        config.TopicGet(t, config.TopicMaxMessageBytes),
		Compact:                t.Has("compact"),
		Delete:                 t.Has("delete"),
		MinCleanableDirtyRatio: config.TopicGet(t, config.TopicMinCleanableDirtyRatio),
		MinCompactionLagMs:     config.TopicGet(t, config.TopicMinCompactionLagMs),
		MaxCompactionLagMs:     config.TopicGet(t, config.TopicMaxCompactionLagMs),
		DeleteRetentionMs:      config.TopicGet(t, config.TopicDeleteRetentionMs),
		LogAppendTime:          config.TopicGet(t, config.TopicMessageTimestampType) == "LogAppendTime",
		TimestampBeforeMaxMs:   t.TimestampBeforeMaxMs(),
		TimestampAfterMaxMs:    t.TimestampAfterMaxMs(),
		Compression:            config.TopicGet(t, config.TopicCompressionType),
		Preallocate:            config.TopicGet(t, config.TopicPreallocate),
		DeepValidation:         config.Get(s, config.OttlaProduceValidation) == "deep",
		MinInsyncReplicas:      config.TopicGet(t, config.TopicMinInsyncReplicas),
		UncleanLeaderElection:  config.TopicGet(t, config.TopicUncleanLeaderElectionEnable),
		DownconversionEnable:   config.TopicGet(t, config.TopicMessageDownconversionEnable),

		LeaderThrottledReplicas:   strings.Join(config.TopicGet(t, config.TopicLeaderReplicationThrottledReplicas), ","),
		FollowerThrottledReplicas: strings.Join(config.TopicGet(t, config.TopicFollowerReplicationThrottledReplicas), ","),
	}
	c.CompressionLevel, _ = t.CompressionLevel() // zero, the codec's default, if there are no levels
	return c
}
