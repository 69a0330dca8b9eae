package controller

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ottla/zkmeta"
)

// electionRetry is the pause after an election that failed for another reason than being lost.
const electionRetry = time.Second

// maxElectionRounds bounds the reads of /controller in one event while it comes and goes.
const maxElectionRounds = 16

// observe looks at /controller, with a watch: it resigns if somebody else is the controller, and tries to
// be elected if nobody is.
func (m *Machine) observe() error {
	for range maxElectionRounds {
		results, err := m.do(Request{Kind: ReadData, Path: zkmeta.Controller, Watch: true})
		if err != nil {
			return err
		}
		r := results[0]
		if errors.Is(r.Err, zkmeta.ErrNoNode) {
			// Reading a missing node leaves no watch; asking whether it exists does.
			results, err = m.do(Request{Kind: ReadExists, Path: zkmeta.Controller, Watch: true})
			if err != nil {
				return err
			}
			if results[0].Err != nil {
				return fmt.Errorf("watch %s: %w", zkmeta.Controller, results[0].Err)
			}
			if results[0].Exists {
				continue
			}
			m.resign()
			switch elected, err := m.elect(); {
			case err != nil:
				return err
			case elected:
				return m.takeOver()
			}
			continue
		}
		if r.Err != nil {
			return fmt.Errorf("read %s: %w", zkmeta.Controller, r.Err)
		}
		ours := r.Stat.EphemeralOwner == m.sessionID
		if ours && m.term != nil {
			return nil
		}
		if ours {
			// Our session was elected, but the machine has resigned since, or never learned of it.
			if err := m.removeController(r.Stat.Version); err != nil {
				return err
			}
			continue
		}
		m.resign()
		info, err := zkmeta.DecodeController(r.Data)
		if err != nil {
			return fmt.Errorf("read %s: %w", zkmeta.Controller, err)
		}
		if m.active != info.BrokerID {
			m.log.Info().Int32("controller", info.BrokerID).Msg("controller elected")
		}
		m.active = info.BrokerID
		m.retryElection = time.Time{}
		return nil
	}
	return fmt.Errorf("%s came and went %d times in a row", zkmeta.Controller, maxElectionRounds)
}

func (m *Machine) removeController(version int32) error {
	results, err := m.do(Request{Kind: Write, Ops: []zkmeta.Op{zkmeta.DeleteOp(zkmeta.Controller, version)}})
	if err != nil {
		return err
	}
	if err := results[0].Err; err != nil && !errors.Is(err, zkmeta.ErrNoNode) && !errors.Is(err, zkmeta.ErrBadVersion) {
		return fmt.Errorf("remove own %s: %w", zkmeta.Controller, err)
	}
	return nil
}

// elect tries to become controller: /controller and the next /controller_epoch are written together
// (KafkaZkClient.registerControllerAndIncrementControllerEpoch). It answers false if somebody was faster.
func (m *Machine) elect() (bool, error) {
	results, err := m.do(Request{Kind: ReadData, Path: zkmeta.ControllerEpoch})
	if err != nil {
		return false, err
	}
	r := results[0]
	if errors.Is(r.Err, zkmeta.ErrNoNode) {
		_, err := m.do(Request{Kind: Write, Ops: []zkmeta.Op{m.createOp(zkmeta.ControllerEpoch, []byte("0"))}})
		return false, err // whoever made it, look again
	}
	if r.Err != nil {
		return false, fmt.Errorf("read %s: %w", zkmeta.ControllerEpoch, r.Err)
	}
	last, err := strconv.ParseInt(strings.TrimSpace(string(r.Data)), 10, 32)
	if err != nil || last < 0 || last >= 1<<31-1 {
		return false, fmt.Errorf("%s holds %q, want a controller epoch", zkmeta.ControllerEpoch, clip(r.Data))
	}
	epoch := int32(last) + 1
	info := zkmeta.ControllerInfo{BrokerID: m.cfg.BrokerID, TimestampMs: m.now.UnixMilli(), KRaftControllerEpoch: -1}
	results, err = m.do(Request{Kind: Write, Ops: []zkmeta.Op{
		zkmeta.CreateOp(zkmeta.Controller, info.Encode(), zkmeta.Ephemeral, nil),
		zkmeta.SetOp(zkmeta.ControllerEpoch, []byte(strconv.Itoa(int(epoch))), r.Stat.Version),
	}})
	if err != nil {
		return false, err
	}
	switch r := results[0]; {
	case r.Err == nil:
		m.term = newTerm(epoch, r.Written[1].Stat.Version)
		m.active = m.cfg.BrokerID
		m.log.Info().Int32("controller_epoch", epoch).Msg("elected controller")
		return true, nil
	case errors.Is(r.Err, zkmeta.ErrNodeExists), errors.Is(r.Err, zkmeta.ErrBadVersion):
		return false, nil
	default:
		return false, fmt.Errorf("create %s: %w", zkmeta.Controller, r.Err)
	}
}

// takeOver starts the term that was just won. If that fails the office is given back, so that another
// broker can try.
func (m *Machine) takeOver() error {
	start := m.now
	err := m.failover()
	if err == nil {
		m.retryElection = time.Time{}
		m.log.Info().Int32("controller_epoch", m.term.epoch).Int("brokers", len(m.term.brokers)).
			Int("topics", len(m.term.topics)).Dur("took", m.now.Sub(start)).Msg("controller is ready")
		return nil
	}
	if endsTerm(err) {
		return err
	}
	req := m.fenced(zkmeta.DeleteOp(zkmeta.Controller, zkmeta.AnyVersion))
	m.resign()
	m.retryElection = m.now.Add(electionRetry)
	if _, ioErr := m.do(req); ioErr != nil {
		return ioErr
	}
	return fmt.Errorf("take over as controller: %w", err)
}

// resign forgets the term and all that was about to be sent in it.
func (m *Machine) resign() {
	m.active = -1
	m.rebalanceAt = time.Time{}
	if m.term == nil {
		return
	}
	m.log.Info().Int32("controller_epoch", m.term.epoch).Msg("resigned as controller")
	m.term = nil
	m.sends = append(m.sends[:0], Send{Kind: CloseAllChannels})
}

// zNodeChanged reads again what a watch reported. The znodes under the term's watch matter only to the
// controller; /controller itself to every broker.
func (m *Machine) zNodeChanged(path string) error {
	if path == zkmeta.Controller {
		return m.observe()
	}
	if m.term == nil {
		return nil
	}
	switch path {
	case zkmeta.BrokersIDs:
		return m.brokersChanged()
	case zkmeta.BrokersTopics:
		return m.topicsChanged()
	case zkmeta.DeleteTopics:
		return m.deletionsRequested()
	case zkmeta.ReassignPartitions:
		return m.reassignmentZNode()
	case zkmeta.PreferredReplicaElection:
		return m.electionZNode()
	case zkmeta.IsrChangeNotification:
		return m.isrNotifications()
	case zkmeta.LogDirEventNotification:
		return m.logDirNotifications()
	}
	if name, ok := strings.CutPrefix(path, zkmeta.BrokersTopics+"/"); ok {
		return m.topicChanged(name)
	}
	if s, ok := strings.CutPrefix(path, zkmeta.BrokersIDs+"/"); ok {
		if id, err := strconv.ParseInt(s, 10, 32); err == nil {
			return m.brokerChanged(int32(id))
		}
	}
	return nil
}

// clip keeps damaged znode data in messages short.
func clip(data []byte) string {
	const limit = 80
	if len(data) > limit {
		return string(data[:limit]) + "..."
	}
	return string(data)
}
