package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// logBounds are the first and the next offset of partitions, and the first from a time on.
type logBounds struct {
	starts, ends, afters kadm.ListedOffsets
}

func (l *logBounds) list(ctx context.Context, admin *kadm.Client, topics []string, at time.Time, byTime bool) error {
	var err error
	if l.starts, err = admin.ListStartOffsets(ctx, topics...); err != nil {
		return err
	}
	if l.ends, err = admin.ListEndOffsets(ctx, topics...); err != nil {
		return err
	}
	if l.afters = l.ends; byTime {
		l.afters, err = admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), topics...)
	}
	return err
}

func (l *logBounds) of(tp topicPartition) (start, end, after int64, err error) {
	var found [3]int64
	for i, list := range []kadm.ListedOffsets{l.starts, l.ends, l.afters} {
		o, ok := list.Lookup(tp.topic, tp.partition)
		if !ok {
			o.Err = kerr.UnknownTopicOrPartition
		}
		if o.Err != nil {
			return 0, 0, 0, fmt.Errorf("offsets of %s: %w", tp, o.Err)
		}
		found[i] = o.Offset
	}
	return found[0], found[1], found[2], nil
}

// parseDatetime reads what kafka-consumer-groups.sh reads, YYYY-MM-DDThh:mm:ss[.sss] in UTC or with an offset, and what the
// other commands read.
func parseDatetime(text string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999Z07"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return parseTime(text)
}

var isoDuration = regexp.MustCompile(`^(?i)([-+]?)P(?:([-+]?\d+)D)?(?:T(?:([-+]?\d+)H)?(?:([-+]?\d+)M)?(?:([-+]?\d+(?:\.\d{0,9})?)S)?)?$`)

// parseISODuration reads PnDTnHnMnS, as java.time.Duration does, and Go's durations.
func parseISODuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration like P1DT2H or 36h", text)
	m := isoDuration.FindStringSubmatch(text)
	if m == nil {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, bad
		}
		return d, nil
	}
	if strings.Join(m[2:], "") == "" || strings.HasSuffix(strings.ToUpper(text), "T") {
		return 0, bad
	}
	var total float64
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if m[i+2] == "" {
			continue
		}
		n, err := strconv.ParseFloat(m[i+2], 64)
		if err != nil {
			return 0, bad
		}
		total += n * float64(unit)
	}
	if m[1] == "-" {
		total = -total
	}
	if total > float64(1<<62) || total < -float64(1<<62) {
		return 0, bad
	}
	return time.Duration(total), nil
}
