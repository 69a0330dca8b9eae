package batch

import (
	"slices"
	"sync"
)

// recordPool holds the Record that Walk passes to its callback, so that a walk allocates nothing.
var recordPool = sync.Pool{New: func() any { return new(Record) }}

// Walk calls f with each record in order and stops at the first error, which it returns. The Record is reused, and its
// slices alias the batch or, if that is compressed, a buffer that is recycled afterwards: f keeps neither.
//
// Errors of its own: a *CorruptError, or what Decompress returns. f has been called for the records before the bad one.
// The CRC is not checked.
func (v View) Walk(f func(*Record) error) error {
	return v.walk(DefaultDecompressLimit, true, f)
}

func (v View) walk(limit int, keepHeaders bool, f func(*Record) error) error {
	if v.Codec() == None {
		return v.walkPayload(v.Payload(), keepHeaders, f)
	}
	buf := getScratch()
	defer putScratch(buf)
	plain, err := appendDecompressed((*buf)[:0], v.Codec(), v.Payload(), limit)
	if err != nil {
		return err
	}
	*buf = plain
	return v.walkPayload(plain, keepHeaders, f)
}

// walkPayload walks the uncompressed records p of the batch.
func (v View) walkPayload(p []byte, keepHeaders bool, f func(*Record) error) error {
	count := v.Count()
	if count < 0 || int64(count) > int64(len(p)/(minRecordBody+1)) {
		return corrupt("count %d is out of range for %d bytes of records", count, len(p))
	}
	r := recordPool.Get().(*Record)
	defer func() {
		clear(r.Headers)
		*r = Record{Headers: r.Headers[:0]}
		recordPool.Put(r)
	}()
	baseOffset, baseTimestamp := v.BaseOffset(), v.BaseTimestamp()
	appendTime, appendTimestamp := v.IsLogAppendTime(), v.MaxTimestamp()
	var err error
	for i := range count {
		if len(p) == 0 {
			return corrupt("record %d of %d: %v", i, count, errRecordsAbsent)
		}
		if p, err = r.parse(p, baseOffset, baseTimestamp, keepHeaders); err != nil {
			return corrupt("record %d of %d: %v", i, count, err)
		}
		if appendTime {
			r.Timestamp = appendTimestamp
		}
		if err = f(r); err != nil {
			return err
		}
	}
	if len(p) != 0 {
		return corrupt("%v: %d of them", errRecordsLeft, len(p))
	}
	return nil
}

// Records appends all records to dst. Their slices alias the batch, or memory of their own if it is compressed.
func (v View) Records(dst []Record) ([]Record, error) {
	payload := v.Payload()
	if v.Codec() != None {
		var err error
		if payload, err = Decompress(v.Codec(), payload, DefaultDecompressLimit); err != nil {
			return dst, err
		}
	}
	if c := int(v.Count()); c > 0 && c <= len(payload)/(minRecordBody+1) {
		dst = slices.Grow(dst, c)
	}
	err := v.walkPayload(payload, true, func(r *Record) error {
		kept := *r
		kept.Headers = slices.Clone(r.Headers)
		if len(kept.Headers) == 0 {
			kept.Headers = nil
		}
		dst = append(dst, kept)
		return nil
	})
	return dst, err
}
