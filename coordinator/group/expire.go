package group

import "time"

// expire removes offsets that are no longer retained (KIP-211), every offsets.retention.check.interval.ms.
func (m *machine) expire(now time.Time) {
	m.timers.Set(&m.expiry, now.Add(m.cfg.OffsetsRetentionCheckInterval))
	nowMs := now.UnixMilli()
	expired := 0
	for _, g := range m.groups {
		gone := goneOffsets{m: m, g: g}
		if mayExpire := g.expiring(nowMs, m.cfg.OffsetsRetention.Milliseconds()); mayExpire != nil {
			for _, to := range g.offsets.sortedTopics() {
				for _, p := range to.sortedPartitions() {
					if mayExpire(to.name, to.partitions[p]) && !g.unstable(to.name, p) {
						gone.remove(to.name, p)
					}
				}
			}
		}
		if gone.n > 0 {
			gone.finish()
			expired += gone.n
		} else if g.deletable() {
			if g.recorded() {
				gone.finish()
			} else {
				m.forget(g)
			}
		}
	}
	if expired == 0 {
		return
	}
	m.out.Done = func(_ time.Time, err error) {
		if err != nil { // what is left expires the next time
			m.log.Warn().Err(err).Msg("could not remove all expired offsets")
			return
		}
		m.stats.expirations.Add(int64(expired))
		m.log.Info().Int("offsets", expired).Msg("removed expired offsets")
	}
}

// expiring returns what tells whether an offset of the group has expired, nil if none can:
//   - a group without members keeps its offsets for the retention time from when it became empty, or, if an old record did
//     not say when, from their commits;
//   - a stable consumer group keeps those of topics that it does not subscribe to for that time from their commits, and the
//     others for ever;
//   - a group of the new protocol, whatever its state, keeps those of topics that no member subscribes to for that time from
//     their commits, and the others for ever;
//   - offsets of clients that do not use groups are kept for that time from their commits.
//
// What an open transaction has a newer offset for does not expire: the tombstone would take both.
//
// An offset that was committed with a retention of its own (OffsetCommit 2-4) expires when that says.
func (g *group) expiring(nowMs, retentionMs int64) func(topic string, c *committed) bool {
	old := func(c *committed, sinceMs int64) bool {
		if c.expireMs != noTimestampMs {
			return nowMs >= c.expireMs
		}
		return nowMs-sinceMs >= retentionMs
	}
	switch {
	case g.consumer != nil:
		return func(topic string, c *committed) bool { return !g.consumer.Subscribed(topic) && old(c, c.commitMs) }
	case g.protocolType == "":
		return func(_ string, c *committed) bool { return old(c, c.commitMs) }
	case g.state == empty:
		return func(_ string, c *committed) bool {
			if g.stateMs == noTimestampMs {
				return old(c, c.commitMs)
			}
			return old(c, g.stateMs)
		}
	case g.state == stable && g.protocolType == consumerProtocol && g.topicsKnown:
		return func(topic string, c *committed) bool {
			_, subscribed := g.topics[topic]
			return !subscribed && old(c, c.commitMs)
		}
	}
	return nil
}
