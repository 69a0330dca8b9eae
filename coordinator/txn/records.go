package txn

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Records of __transaction_state (kafka.coordinator.transaction.TransactionLog). Both key and value start with an int16 version. The key
// has the transactional id; a value of version 0 is
//
//	producerId int64, producerEpoch int16, timeoutMs int32, state int8, topics [topic string, partitions [int32]] (null in Empty),
//	lastUpdateMs int64, startMs int64
//
// and a null value forgets the transactional id. Version 1 is flexible, with tagged fields: previous producer id (0), next producer id (1),
// version of the client (2). Kafka 3.9 reads it, and skips tags that it does not know, but does not write it. It is written here for
// transactional ids whose last transaction was of version 2.
const (
	keyVersion        = 0
	valueNewest       = 1
	maxString         = 1<<15 - 1
	valueTopicsAt     = 2 + 8 + 2 + 4 + 1
	minTopicBytes     = 6 // of a topic in version 0: the lengths of its name and of its partitions
	minTopicBytesFlex = 3
	partitionBytes    = 4
)

func encodeKey(id string) []byte {
	k := kmsg.TxnMetadataKey{Version: keyVersion, TransactionalID: id}
	return k.AppendTo(nil)
}

func encodeValue(d *metadata) []byte {
	v := kmsg.NewTxnMetadataValue()
	v.ProducerID, v.ProducerEpoch, v.TimeoutMillis = d.producerID, d.producerEpoch, d.timeoutMs
	v.State, v.LastUpdateTimestamp, v.StartTimestamp = kmsg.TransactionState(d.state), d.lastUpdateMs, d.startMs
	if d.version >= V2 {
		v.Version, v.ClientTransactionVersion = 1, int16(d.version)
		v.PreviousProducerID, v.NextProducerID = d.prevProducerID, d.nextProducerID
	}
	if d.state != Empty {
		v.Topics = []kmsg.TxnMetadataValueTopic{}
		for _, tp := range d.sorted() {
			if n := len(v.Topics); n == 0 || v.Topics[n-1].Topic != tp.Topic {
				v.Topics = append(v.Topics, kmsg.TxnMetadataValueTopic{Topic: tp.Topic})
			}
			t := &v.Topics[len(v.Topics)-1]
			t.Partitions = append(t.Partitions, tp.Partition)
		}
	}
	return v.AppendTo(nil)
}

// decodeKey returns the transactional id of a record, which is a copy. ok is false for keys of a coordinator that knows more.
func decodeKey(key []byte) (id string, ok bool, err error) {
	if len(key) < 2 {
		return "", false, fmt.Errorf("key of %d bytes is too short", len(key))
	}
	if version := int16(binary.BigEndian.Uint16(key)); version != keyVersion {
		return "", false, nil
	}
	var k kmsg.TxnMetadataKey
	if err := k.ReadFrom(key); err != nil {
		return "", false, fmt.Errorf("key: %w", err)
	}
	return k.TransactionalID, true, nil
}

// decodeValue reads a value of any known version. It keeps nothing of value.
func decodeValue(value []byte) (*metadata, error) {
	if len(value) < valueTopicsAt {
		return nil, fmt.Errorf("value of %d bytes is too short", len(value))
	}
	version := int16(binary.BigEndian.Uint16(value))
	if version < 0 || version > valueNewest {
		return nil, fmt.Errorf("value version %d is not known", version)
	}
	if err := checkCounts(version, value[valueTopicsAt:]); err != nil {
		return nil, err
	}
	v := kmsg.NewTxnMetadataValue()
	if err := v.UnsafeReadFrom(value); err != nil {
		return nil, fmt.Errorf("value of version %d: %w", version, err)
	}
	d := &metadata{
		producerID: v.ProducerID, producerEpoch: v.ProducerEpoch, timeoutMs: v.TimeoutMillis, state: State(v.State),
		lastUpdateMs: v.LastUpdateTimestamp, startMs: v.StartTimestamp,
		version: Version(v.ClientTransactionVersion), prevProducerID: v.PreviousProducerID, nextProducerID: v.NextProducerID,
	}
	if d.state < Empty || d.state > PrepareEpochFence {
		return nil, fmt.Errorf("state %d is not known", d.state)
	}
	if len(v.Topics) > 0 {
		d.partitions = make(map[TopicPartition]struct{})
	}
	for _, t := range v.Topics {
		name := strings.Clone(t.Topic)
		for _, p := range t.Partitions {
			d.partitions[TopicPartition{name, p}] = struct{}{}
		}
	}
	return d, nil
}

// checkCounts compares the counts in b, which begins with the array of topics, with what could follow them.
func checkCounts(version int16, b []byte) error {
	if version > 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)/minTopicBytesFlex)+1 {
			return fmt.Errorf("%d topics do not fit into %d bytes", n, len(b))
		}
		return nil // kmsg bounds what follows by the bytes that are left
	}
	if len(b) < 4 {
		return fmt.Errorf("value ends before its topics")
	}
	n := int32(binary.BigEndian.Uint32(b))
	if b = b[4:]; n > int32(len(b)/minTopicBytes) {
		return fmt.Errorf("%d topics do not fit into %d bytes", n, len(b))
	}
	for range max(n, 0) {
		if len(b) < minTopicBytes {
			return fmt.Errorf("value ends within its topics")
		}
		name := int(int16(binary.BigEndian.Uint16(b)))
		if b = b[2:]; name < 0 || len(b) < name+4 {
			return fmt.Errorf("topic name of %d bytes does not fit", name)
		}
		b = b[name:]
		partitions := int(int32(binary.BigEndian.Uint32(b)))
		if b = b[4:]; partitions < 0 || partitions > len(b)/partitionBytes {
			return fmt.Errorf("%d partitions do not fit into %d bytes", partitions, len(b))
		}
		b = b[partitions*partitionBytes:]
	}
	return nil
}
