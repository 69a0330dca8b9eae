package batch

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// UpconvertOptions say what becomes of a message set.
type UpconvertOptions struct {
	// BaseOffset and LeaderEpoch of the batch; offsets in the set are not kept: a producer's mean nothing.
	BaseOffset  int64
	LeaderEpoch int32
	// Codec of the batch, if Recompress is set. Otherwise it is the set's own.
	Codec      Codec
	Level      int
	Recompress bool
	// DecompressLimit bounds the size of the set inside a compressed message; 0 is DefaultDecompressLimit.
	DecompressLimit int
}

// Upconvert turns the message set of a Produce request of version 0 to 2 into one magic-2 batch, as Kafka's leader does
// since message format 3.0. Timestamps stay; messages of magic 0 get none (-1). A message cut short at the end is dropped.
//
// Errors: *CorruptError (a CRC, a length), errors that wrap kerr.InvalidRecord (no message at all, different magics in
// one set, a compressed message that is not alone) or kerr.UnsupportedCompressionType.
func Upconvert(messageSet []byte, opt UpconvertOptions) ([]byte, error) {
	if opt.DecompressLimit == 0 {
		opt.DecompressLimit = DefaultDecompressLimit
	}
	first, _, err := NextLegacy(messageSet)
	if err != nil {
		if errors.Is(err, ErrTruncated) {
			return nil, fmt.Errorf("%w: Record batch has no batches at all", kerr.InvalidRecord)
		}
		return nil, err
	}
	target := NewBuilderOptions(opt.BaseOffset)
	target.LeaderEpoch, target.Codec, target.Level = opt.LeaderEpoch, opt.Codec, opt.Level
	if !opt.Recompress {
		target.Codec, target.Level = first.Codec(), LevelDefault
	}
	b := NewBuilder(target)
	add := func(r *Record) error {
		b.Add(r.Timestamp, r.Key, r.Value, nil)
		return nil
	}
	messages := 0
	for rest := messageSet; ; {
		var m Legacy
		m, rest, err = NextLegacy(rest)
		if errors.Is(err, ErrTruncated) {
			break
		}
		if err != nil {
			return nil, err
		}
		messages++
		switch {
		case m.Magic() != first.Magic():
			return nil, fmt.Errorf("%w: Batch magic %d is not the same as the first batch's magic byte %d", kerr.InvalidRecord, m.Magic(), first.Magic())
		case messages > 1 && (m.Codec() != None || first.Codec() != None):
			return nil, fmt.Errorf("%w: Compressed outer record has more than one batch", kerr.InvalidRecord)
		}
		if err := m.VerifyCRC(); err != nil {
			return nil, err
		}
		if err := m.Walk(opt.DecompressLimit, add); err != nil {
			return nil, err
		}
	}
	return b.Build(), nil
}
