package storage

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// An offset checkpoint is text: version 0, the number of entries, then "topic partition offset" lines in any order
// (OffsetCheckpointFile). An empty file has no entries: Kafka leaves one at first start.

// encodeCheckpoint renders the entries, sorted.
func encodeCheckpoint(offsets map[TopicPartition]int64) []byte {
	tps := make([]TopicPartition, 0, len(offsets))
	for tp := range offsets {
		tps = append(tps, tp)
	}
	slices.SortFunc(tps, func(a, b TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	out := make([]byte, 0, 16+40*len(tps))
	out = append(out, "0\n"...)
	out = strconv.AppendInt(out, int64(len(tps)), 10)
	out = append(out, '\n')
	for _, tp := range tps {
		out = append(out, tp.Topic...)
		out = append(out, ' ')
		out = strconv.AppendInt(out, int64(tp.Partition), 10)
		out = append(out, ' ')
		out = strconv.AppendInt(out, offsets[tp], 10)
		out = append(out, '\n')
	}
	return out
}

// decodeCheckpoint reads them back.
func decodeCheckpoint(data []byte) (map[TopicPartition]int64, error) {
	lines, err := checkpointLines(data)
	if err != nil {
		return nil, err
	}
	offsets := make(map[TopicPartition]int64, len(lines))
	for i, line := range lines {
		f := bytes.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("entry %d has %d fields, not 3", i+1, len(f))
		}
		p, err := strconv.ParseInt(string(f[1]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("entry %d: partition: %w", i+1, err)
		}
		off, err := strconv.ParseInt(string(f[2]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("entry %d: offset: %w", i+1, err)
		}
		if p < 0 || off < 0 {
			return nil, fmt.Errorf("entry %d has a negative number", i+1)
		}
		offsets[TopicPartition{Topic: string(f[0]), Partition: int32(p)}] = off
	}
	return offsets, nil
}

// checkpointLines checks the version and the count of a checkpoint, and returns its entries' lines. Each line must end:
// a file cut short could otherwise read as a smaller number.
func checkpointLines(data []byte) ([][]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if data[len(data)-1] != '\n' {
		return nil, fmt.Errorf("the last line is cut short")
	}
	lines := bytes.Split(data[:len(data)-1], []byte{'\n'})
	if version := string(bytes.TrimSpace(lines[0])); version != "0" {
		return nil, fmt.Errorf("unknown version %q", truncateText(version))
	}
	if len(lines) < 2 {
		return nil, fmt.Errorf("there is no count")
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(lines[1])))
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	if n != len(lines)-2 {
		return nil, fmt.Errorf("%d entries, not %d", len(lines)-2, n)
	}
	return lines[2:], nil
}

func truncateText(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
