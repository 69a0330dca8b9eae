package batch

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ValidateOptions says what a leader asks of a batch before it appends it.
type ValidateOptions struct {
	// Topic and Partition appear in error texts.
	Topic     string
	Partition int32
	// Client is set for batches of Produce requests: control batches, odd counts and a base offset other than 0 are
	// refused. Coordinators write without it.
	Client bool
	// Compacted topics need a key in each record.
	Compacted bool
	// LogAppendTime is the topic's message.timestamp.type: record times are not looked at, and a batch that
	// claims log append time is refused.
	LogAppendTime bool
	// NowMs, TimestampBeforeMaxMs and TimestampAfterMaxMs bound the records' timestamps (KIP-937) unless
	// LogAppendTime is set. math.MaxInt64 is no bound; so is 0 for both.
	NowMs, TimestampBeforeMaxMs, TimestampAfterMaxMs int64
	// Deep opens compressed batches even if nothing else asks for it.
	Deep bool
	// DecompressLimit bounds the size of the records uncompressed; 0 is DefaultDecompressLimit.
	DecompressLimit int
}

// RecordErrors refuses a batch because of single records (KIP-467). It wraps kerr.InvalidRecord or kerr.InvalidTimestamp.
type RecordErrors struct {
	Code   *kerr.Error
	Errors []RecordError
}

// RecordError is one bad record, by its index in the batch.
type RecordError struct {
	BatchIndex int32
	Message    string
}

// maxRecordErrors bounds what one bad batch makes us keep and send back.
const maxRecordErrors = 1000

// Error is the text of the partition's error message in a Produce response, worded as clients of Kafka know it.
func (e *RecordErrors) Error() string {
	if e.Code == kerr.InvalidTimestamp {
		return "One or more records have been rejected due to invalid timestamp"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [", len(e.Errors))
	for i, r := range e.Errors[:min(3, len(e.Errors))] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "RecordError(batchIndex=%d, message='%s')", r.BatchIndex, r.Message)
	}
	b.WriteByte(']')
	return b.String()
}

func (e *RecordErrors) Unwrap() error { return e.Code }

// Validate checks what a leader checks before it appends a batch (LogValidator of Kafka 3.9): the header's counts and
// producer fields, and the records of an uncompressed batch one by one. A compressed batch is opened only if opt asks for
// something inside it: Deep, Compacted or timestamp bounds. The CRC and the size are the caller's business.
//
// As Kafka does, it corrects in place a maxTimestamp that is not that of the records, and clears the log-append-time bit
// on a topic with create time; the CRC is updated then. Offset deltas other than 0..n-1, which Kafka rewrites,
// are refused: no client in use sends them in this format.
//
// Errors: *RecordErrors; errors that wrap kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.UnsupportedCompressionType.
func Validate(v View, opt ValidateOptions) error {
	if err := validateHeader(v, &opt); err != nil {
		return err
	}
	bounds := !opt.LogAppendTime && (opt.TimestampBeforeMaxMs != 0 || opt.TimestampAfterMaxMs != 0) &&
		(opt.TimestampBeforeMaxMs != math.MaxInt64 || opt.TimestampAfterMaxMs != math.MaxInt64)
	if v.Codec() != None && !opt.Deep && !opt.Compacted && !bounds && !(opt.LogAppendTime && v.IsLogAppendTime()) {
		if !opt.LogAppendTime && v.IsLogAppendTime() {
			v.setTimestampType(false, v.MaxTimestamp())
		}
		return nil
	}
	if opt.DecompressLimit == 0 {
		opt.DecompressLimit = DefaultDecompressLimit
	}
	c := checkerPool.Get().(*recordChecker)
	defer c.free()
	c.reset(&opt, v, bounds)
	err := v.walk(min(opt.DecompressLimit, freeDecompression), false, c.f)
	if err != nil && isTooLarge(err) && opt.DecompressLimit > freeDecompression {
		bigDecompressions <- struct{}{}
		c.reset(&opt, v, bounds)
		err = v.walk(opt.DecompressLimit, false, c.f)
		<-bigDecompressions
	}
	if err != nil {
		return invalidRecords(err, opt.Topic, opt.Partition)
	}
	if len(c.errors) > 0 {
		return &RecordErrors{Code: c.code, Errors: c.errors}
	}
	if !opt.LogAppendTime && (v.IsLogAppendTime() || v.MaxTimestamp() != c.maxTimestamp) && v.Count() > 0 {
		v.setTimestampType(false, c.maxTimestamp)
	}
	return nil
}

func isTooLarge(err error) bool {
	var bad *CorruptError
	return errors.As(err, &bad) && bad.tooLarge
}

// invalidRecords turns what a walk says about malformed records into INVALID_RECORD: the CRC was right, so the client wrote them that way.
func invalidRecords(err error, topic string, partition int32) error {
	var bad *CorruptError
	if !errors.As(err, &bad) {
		return err
	}
	return fmt.Errorf("%w in topic partition %s-%d: %s", kerr.InvalidRecord, topic, partition, bad.Reason)
}

func validateHeader(v View, opt *ValidateOptions) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s in topic partition %s-%d", kerr.InvalidRecord, fmt.Sprintf(format, args...), opt.Topic, opt.Partition)
	}
	if v.Codec() > Zstd {
		return fail("Unknown compression type id: %d", v.Codec())
	}
	if !opt.Client {
		return nil
	}
	span := int64(v.LastOffsetDelta()) + 1
	switch {
	case v.BaseOffset() != 0:
		return fail("The baseOffset of the record batch should be 0, but it is %d", v.BaseOffset())
	case span <= 0:
		return fail("Batch has an invalid offset range: [%d, %d]", v.BaseOffset(), v.LastOffset())
	case v.Count() <= 0:
		return fail("Invalid reported count for record batch: %d", v.Count())
	case span != int64(v.Count()):
		return fail("Inconsistent batch offset range [%d, %d] and count of records %d", v.BaseOffset(), v.LastOffset(), v.Count())
	case v.IsControl():
		return fail("Clients are not allowed to write control records")
	case v.ProducerID() >= 0 && v.BaseSequence() < 0:
		return fail("Invalid sequence number %d in record batch with producerId %d", v.BaseSequence(), v.ProducerID())
	}
	return nil
}

// recordChecker is the part of Validate that looks at each record. It is pooled, so that Validate allocates nothing for a good batch.
type recordChecker struct {
	f            func(*Record) error // check, bound once
	opt          ValidateOptions
	v            View
	bounds       bool
	index        int32
	maxTimestamp int64
	code         *kerr.Error // of the first error, as Kafka answers it
	errors       []RecordError
}

var checkerPool = sync.Pool{New: func() any {
	c := new(recordChecker)
	c.f = c.check
	return c
}}

func (c *recordChecker) reset(opt *ValidateOptions, v View, bounds bool) {
	*c = recordChecker{f: c.f, opt: *opt, v: v, bounds: bounds, maxTimestamp: -1}
}

func (c *recordChecker) free() {
	*c = recordChecker{f: c.f}
	checkerPool.Put(c)
}

func (c *recordChecker) check(r *Record) error {
	index := c.index
	c.index++
	if r.OffsetDelta != index && c.opt.Client {
		return fmt.Errorf("%w: record %d of the batch has offset delta %d in topic partition %s-%d",
			kerr.InvalidRecord, index, r.OffsetDelta, c.opt.Topic, c.opt.Partition)
	}
	if r.Timestamp > c.maxTimestamp {
		c.maxTimestamp = r.Timestamp
	}
	switch {
	case c.opt.Compacted && r.Key == nil && !c.v.IsControl():
		c.add(kerr.InvalidRecord, index, fmt.Sprintf("Compacted topic cannot accept message without key in topic partition %s-%d",
			c.opt.Topic, c.opt.Partition))
	case !c.opt.LogAppendTime && r.Timestamp != -1:
		if c.bounds && c.outOfBounds(r.Timestamp) {
			c.add(kerr.InvalidTimestamp, index, fmt.Sprintf("Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]",
				r.Timestamp, r.Offset, c.opt.NowMs-c.opt.TimestampBeforeMaxMs, c.opt.NowMs+c.opt.TimestampAfterMaxMs))
		}
	case c.v.IsLogAppendTime():
		name := "DefaultRecord"
		if c.v.Codec() != None {
			name = "PartialDefaultRecord"
		}
		c.add(kerr.InvalidTimestamp, index, fmt.Sprintf("Invalid timestamp type in message %s(offset=%d, timestamp=%d, key=%d bytes, value=%d bytes). "+
			"Producer should not set timestamp type to LogAppendTime.", name, r.Offset, r.Timestamp, len(r.Key), len(r.Value)))
	}
	return nil
}

func (c *recordChecker) outOfBounds(ts int64) bool {
	diff := c.opt.NowMs - ts
	return diff > c.opt.TimestampBeforeMaxMs || -diff > c.opt.TimestampAfterMaxMs
}

func (c *recordChecker) add(code *kerr.Error, index int32, message string) {
	if c.code == nil {
		c.code = code
	}
	if len(c.errors) < maxRecordErrors {
		c.errors = append(c.errors, RecordError{BatchIndex: index, Message: message})
	}
}

// setTimestampType sets the timestamp type and maxTimestamp, and updates the CRC.
func (v View) setTimestampType(logAppend bool, maxTimestamp int64) {
	a := v.Attributes() &^ AttrLogAppendTime
	if logAppend {
		a |= AttrLogAppendTime
	}
	v.setAttributes(a)
	v.setMaxTimestamp(maxTimestamp)
	v.UpdateCRC()
}
