package controller

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// answered takes the answer to a request of this term. Apart from deletions and failed log directories
// nothing depends on it: a broker that refuses something has a newer controller or epoch.
func (m *Machine) answered(ev BrokerAnswered) error {
	switch resp := ev.Response.(type) {
	case *kmsg.LeaderAndISRResponse:
		req, ok := ev.Request.(*kmsg.LeaderAndISRRequest)
		if !ok || req.ControllerEpoch != m.term.epoch || req.BrokerEpoch != m.term.brokers[ev.Broker].epoch {
			return nil
		}
		if resp.ErrorCode != 0 {
			m.refused(ev, resp.ErrorCode)
			return nil
		}
		var failed, fine []*partition
		for _, t := range resp.Topics {
			topic := m.term.byID[t.TopicID]
			if topic == nil {
				continue
			}
			for _, a := range t.Partitions {
				p := topic.partition(a.Partition)
				if p == nil {
					continue
				}
				switch a.ErrorCode {
				case 0:
					fine = append(fine, p)
				case kerr.KafkaStorageError.Code:
					failed = append(failed, p)
				}
			}
		}
		return m.logDirReplicas(ev.Broker, failed, fine)
	case *kmsg.StopReplicaResponse:
		req, ok := ev.Request.(*kmsg.StopReplicaRequest)
		if !ok || req.ControllerEpoch != m.term.epoch || req.BrokerEpoch != m.term.brokers[ev.Broker].epoch {
			return nil
		}
		if resp.ErrorCode != 0 {
			m.refused(ev, resp.ErrorCode)
		}
		return m.replicasStopped(ev.Broker, req, resp)
	case *kmsg.UpdateMetadataResponse:
		if resp.ErrorCode != 0 {
			m.refused(ev, resp.ErrorCode)
		}
	}
	return nil
}

func (m *Machine) refused(ev BrokerAnswered, code int16) {
	m.log.Warn().Int32("broker", ev.Broker).Str("request", kmsg.NameForKey(ev.Request.Key())).
		Err(kerr.ErrorForCode(code)).Msg("broker refused a request of the controller")
}

// logDirNotifications handles the child watch on /log_dir_event_notification: a broker lost a log
// directory. Which replicas that concerns shows in its answer to a LeaderAndIsr for all of them.
func (m *Machine) logDirNotifications() error {
	return m.notifications(zkmeta.LogDirEventNotification, func(datas [][]byte) error {
		b := m.newBatch()
		for _, data := range datas {
			ev, err := zkmeta.DecodeLogDirEvent(data)
			if err != nil {
				m.log.Error().Err(err).Msg("log directory event is damaged and ignored")
				continue
			}
			for _, p := range m.term.partitionsNotDeleting(func(p *partition) bool { return p.written && hosts(p, []int32{ev.Broker}) }) {
				b.tellReplicas(p, []int32{ev.Broker}, isOld)
			}
		}
		b.flush()
		return nil
	})
}

// isrNotifications handles the child watch on /isr_change_notification: leaders with an
// inter.broker.protocol.version below 2.7 write the ISR themselves.
func (m *Machine) isrNotifications() error {
	return m.notifications(zkmeta.IsrChangeNotification, func(datas [][]byte) error {
		seen := map[*partition]struct{}{}
		var ps []*partition
		for _, data := range datas {
			change, err := zkmeta.DecodeIsrChange(data)
			if err != nil {
				m.log.Error().Err(err).Msg("ISR change notification is damaged and ignored")
				continue
			}
			for _, tp := range change.Partitions {
				p := m.term.partition(tp.Topic, tp.Partition)
				if p == nil {
					continue
				}
				if _, ok := seen[p]; !ok {
					seen[p] = struct{}{}
					ps = append(ps, p)
				}
			}
		}
		if err := m.reread(ps); err != nil {
			return err
		}
		b := m.newBatch()
		for _, p := range ps {
			b.tellAll(p)
		}
		b.flush()
		return m.continueReassignments(ps)
	})
}

// notifications reads the children of a notification directory, has them handled, and deletes them.
func (m *Machine) notifications(dir string, handle func(datas [][]byte) error) error {
	results, err := m.do(Request{Kind: ReadChildren, Path: dir, Watch: true})
	if err != nil {
		return err
	}
	if err := results[0].Err; err != nil {
		return fmt.Errorf("read %s: %w", dir, err)
	}
	paths := make([]string, len(results[0].Children))
	reqs := make([]Request, len(paths))
	for i, n := range results[0].Children {
		paths[i] = dir + "/" + n
		reqs[i] = Request{Kind: ReadData, Path: paths[i]}
	}
	results, err = m.do(reqs...)
	if err != nil {
		return err
	}
	var datas [][]byte
	for i, r := range results {
		switch {
		case errors.Is(r.Err, zkmeta.ErrNoNode):
		case r.Err != nil:
			return fmt.Errorf("read %s: %w", paths[i], r.Err)
		default:
			datas = append(datas, r.Data)
		}
	}
	if err := handle(datas); err != nil {
		return err
	}
	return m.deleteNodes(paths)
}
