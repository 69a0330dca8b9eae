package controller

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/zkmeta"
)

// producerIDBlockSize is how many producer ids a broker gets at a time (ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE).
const producerIDBlockSize = 1000

// allocateProducerIDs gives a broker the next block of producer ids. The znode is written on the version
// that was read, without the fence of the controller epoch: a block is given out once even if two brokers
// take themselves for the controller (ZkProducerIdManager.getNewProducerIdBlock).
//
// Errors: NOT_CONTROLLER, STALE_BROKER_EPOCH, BROKER_ID_NOT_REGISTERED, UNKNOWN_SERVER_ERROR when the ids
// are used up or the znode is damaged.
func (m *Machine) allocateProducerIDs(ev AllocateProducerIDs) error {
	if m.term == nil {
		ev.Reply(0, 0, errNotController("allocate producer ids"))
		return nil
	}
	switch b := m.term.brokers[ev.Broker]; {
	case b == nil:
		ev.Reply(0, 0, fmt.Errorf("allocate producer ids: broker %d is not registered: %w", ev.Broker, kerr.BrokerIDNotRegistered))
		return nil
	case b.epoch != ev.Epoch:
		ev.Reply(0, 0, fmt.Errorf("allocate producer ids: broker %d has epoch %d, the request says %d: %w",
			ev.Broker, b.epoch, ev.Epoch, kerr.StaleBrokerEpoch))
		return nil
	}
	start, err := m.nextProducerIDs(ev.Broker)
	switch {
	case err == nil:
		ev.Reply(start, producerIDBlockSize, nil)
		return nil
	case endsTerm(err):
		ev.Reply(0, 0, errNotController("allocate producer ids"))
	default:
		ev.Reply(0, 0, fmt.Errorf("allocate producer ids: %w: %w", err, kerr.UnknownServerError))
	}
	return err
}

func (m *Machine) nextProducerIDs(broker int32) (int64, error) {
	const path = zkmeta.LatestProducerIDBlock
	for {
		results, err := m.do(Request{Kind: ReadData, Path: path})
		if err != nil {
			return 0, err
		}
		r := results[0]
		block := zkmeta.ProducerIDBlock{Broker: broker, Start: 0, End: producerIDBlockSize - 1}
		var write zkmeta.Op
		switch {
		case errors.Is(r.Err, zkmeta.ErrNoNode):
			write = zkmeta.CreateOp(path, block.Encode(), zkmeta.Persistent, nil)
		case r.Err != nil:
			return 0, fmt.Errorf("read %s: %w", path, r.Err)
		default:
			if len(r.Data) > 0 {
				last, err := zkmeta.DecodeProducerIDBlock(r.Data)
				if err != nil {
					return 0, err
				}
				if last.End > math.MaxInt64-producerIDBlockSize {
					return 0, fmt.Errorf("%s: producer ids are used up, the last block ends at %d", path, last.End)
				}
				block.Start, block.End = last.End+1, last.End+producerIDBlockSize
			}
			write = zkmeta.SetOp(path, block.Encode(), r.Stat.Version)
		}
		results, err = m.do(Request{Kind: Write, Ops: []zkmeta.Op{write}})
		if err != nil {
			return 0, err
		}
		switch err := results[0].Err; {
		case err == nil:
			return block.Start, nil
		case errors.Is(err, zkmeta.ErrBadVersion), errors.Is(err, zkmeta.ErrNodeExists), errors.Is(err, zkmeta.ErrNoNode):
			// Somebody else took this block.
		default:
			return 0, fmt.Errorf("write %s: %w", path, err)
		}
	}
}
