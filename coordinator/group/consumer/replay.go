package consumer

import "fmt"

// Replay applies one record. A nil value is a tombstone. The record that ends the group (Key.RemovesGroup) is the caller's.
func (g *Group) Replay(k Key, value []byte) error {
	var err error
	switch k.Version {
	case keyGroupEpoch:
		var e epochValue
		if e, err = parseEpoch(value); err == nil {
			g.epoch, g.hash = e.epoch, e.hash
		}
	case keyTopics:
		g.oldTopics = value != nil
	case keyMember:
		err = g.replayMember(k.Sub, value)
	case keyTargetEpoch:
		var epoch int32
		if value != nil {
			epoch, err = parseTargetEpoch(value)
		}
		if err == nil {
			g.targetEpoch = epoch
		}
	case keyTarget:
		if value == nil {
			delete(g.targets, k.Sub)
			break
		}
		if a, e := parseTarget(value); e == nil {
			g.targets[k.Sub] = a
		} else {
			err = e
		}
	case keyCurrent:
		err = g.replayCurrent(k.Sub, value)
	case keyRegex:
		if value == nil {
			delete(g.regexes, k.Sub)
			break
		}
		if r, e := parseRegex(value); e == nil {
			g.regexes[k.Sub] = r
		} else {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("record of key version %d, %q: %w", k.Version, k.Sub, err)
	}
	return nil
}

func (g *Group) member(id string) Member {
	if m := g.members[id]; m != nil {
		return *m
	}
	return Member{ID: id, RebalanceTimeoutMs: -1, Assigned: Owned{}, Revoking: Owned{}}
}

func (g *Group) replayMember(id string, value []byte) error {
	old := g.members[id]
	if value == nil {
		if old == nil {
			return nil
		}
		g.release(old)
		delete(g.members, id)
		if g.static[old.InstanceID] == id {
			delete(g.static, old.InstanceID)
		}
		return nil
	}
	m, err := parseMember(value, g.member(id))
	if err != nil {
		return err
	}
	if old != nil && old.InstanceID != m.InstanceID && g.static[old.InstanceID] == id {
		delete(g.static, old.InstanceID)
	}
	if m.InstanceID != "" {
		g.static[m.InstanceID] = id
	}
	g.members[id] = &m
	return nil
}

func (g *Group) replayCurrent(id string, value []byte) error {
	old := g.members[id]
	if value == nil {
		if old != nil {
			g.release(old)
			m := *old
			m.Epoch, m.PreviousEpoch, m.State, m.Assigned, m.Revoking = leaveEpoch, leaveEpoch, Stable, Owned{}, Owned{}
			g.members[id] = &m
		}
		return nil
	}
	m, err := parseCurrent(value, g.member(id))
	if err != nil {
		return err
	}
	if old != nil {
		g.release(old)
	}
	g.own(&m)
	g.members[id] = &m
	return nil
}

// own notes that the member has its partitions.
func (g *Group) own(m *Member) {
	for _, o := range []Owned{m.Assigned, m.Revoking} {
		for t, ps := range o {
			if g.owners[t] == nil {
				g.owners[t] = make(map[int32]string, len(ps))
			}
			for p := range ps {
				g.owners[t][p] = m.ID
			}
		}
	}
}

// release notes that the member has nothing any more.
func (g *Group) release(m *Member) {
	for _, o := range []Owned{m.Assigned, m.Revoking} {
		for t, ps := range o {
			for p := range ps {
				if g.owners[t][p] == m.ID {
					delete(g.owners[t], p)
				}
			}
			if len(g.owners[t]) == 0 {
				delete(g.owners, t)
			}
		}
	}
}
