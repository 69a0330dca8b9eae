package group

import (
	"strings"
	"time"

	"ottla/coordinator/group/assignor"
)

// ConsumerConfig are the settings of the new group protocol (KIP-848), by Kafka's keys, with Kafka's defaults for what is zero.
type ConsumerConfig struct {
	SessionTimeout    time.Duration   // group.consumer.session.timeout.ms, 45 s
	SessionTimeoutMin time.Duration   // group.consumer.min.session.timeout.ms, 45 s
	SessionTimeoutMax time.Duration   // group.consumer.max.session.timeout.ms, 60 s
	Heartbeat         time.Duration   // group.consumer.heartbeat.interval.ms, 5 s
	HeartbeatMin      time.Duration   // group.consumer.min.heartbeat.interval.ms, 5 s
	HeartbeatMax      time.Duration   // group.consumer.max.heartbeat.interval.ms, 15 s
	MaxSize           int             // group.consumer.max.size
	Assignors         []string        // group.consumer.assignors, by their short names; the first is the default
	Migration         MigrationPolicy // group.consumer.migration.policy
}

// MigrationPolicy says in which directions a group with members may change its protocol.
type MigrationPolicy struct {
	Upgrade   bool // from classic to consumer, when a member of the new protocol joins
	Downgrade bool // from consumer to classic, when the last member of the new protocol has gone
}

// ParseMigrationPolicy reads a value of group.consumer.migration.policy; what is not known is "disabled".
func ParseMigrationPolicy(s string) MigrationPolicy {
	switch strings.ToLower(s) {
	case "bidirectional":
		return MigrationPolicy{Upgrade: true, Downgrade: true}
	case "upgrade":
		return MigrationPolicy{Upgrade: true}
	case "downgrade":
		return MigrationPolicy{Downgrade: true}
	}
	return MigrationPolicy{}
}

// AssignorName is the short name of an assignor that is given by its name or by Kafka's class; "" if there is no such assignor.
func AssignorName(s string) string {
	switch s = strings.TrimSpace(s); s {
	case assignor.Uniform, "org.apache.kafka.coordinator.group.assignor.UniformAssignor":
		return assignor.Uniform
	case assignor.Range, "org.apache.kafka.coordinator.group.assignor.RangeAssignor":
		return assignor.Range
	}
	return ""
}

func (c ConsumerConfig) withDefaults() ConsumerConfig {
	setDefault(&c.SessionTimeout, 45*time.Second)
	setDefault(&c.SessionTimeoutMin, 45*time.Second)
	setDefault(&c.SessionTimeoutMax, 60*time.Second)
	setDefault(&c.Heartbeat, 5*time.Second)
	setDefault(&c.HeartbeatMin, 5*time.Second)
	setDefault(&c.HeartbeatMax, 15*time.Second)
	setDefault(&c.MaxSize, 1<<31-1)
	if len(c.Assignors) == 0 {
		c.Assignors = []string{assignor.Uniform, assignor.Range}
	}
	return c
}

// timeouts are the session timeout and heartbeat interval of a group: its own, within the broker's bounds, or the broker's.
func (m *machine) timeouts(group string) (session, heartbeat time.Duration) {
	c := &m.cfg.Consumer
	session, heartbeat = c.SessionTimeout, c.Heartbeat
	if m.deps.GroupConfig == nil {
		return session, heartbeat
	}
	ownSession, ownHeartbeat := m.deps.GroupConfig(group)
	if ownSession > 0 {
		session = min(max(ownSession, c.SessionTimeoutMin), c.SessionTimeoutMax)
	}
	if ownHeartbeat > 0 {
		heartbeat = min(max(ownHeartbeat, c.HeartbeatMin), c.HeartbeatMax)
	}
	return session, heartbeat
}
