package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// groupOffset is an offset of a group: one line of a CSV file, and what reset-offsets, import and export deal in.
type groupOffset struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

func (o groupOffset) tp() topicPartition { return topicPartition{o.Topic, o.Partition} }

// writeOffsetsCSV writes what kafka-consumer-groups.sh --export writes: topic,partition,offset, with the group in front if there is
// more than one.
func writeOffsetsCSV(w io.Writer, list []groupOffset, withGroup bool) error {
	var b strings.Builder
	for _, o := range list {
		if withGroup {
			b.WriteString(csvField(o.Group) + ",")
		}
		fmt.Fprintf(&b, "%s,%d,%d\n", csvField(o.Topic), o.Partition, o.Offset)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// csvField quotes where Jackson does, which Kafka's tool writes with: long fields, and those with a character up to the comma.
func csvField(s string) string {
	const longest = 24
	if len(s) <= longest && s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ',' }) {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// readOffsetsCSV reads either form. Lines without a group are the given one's; it is "" if there is none, or more than one.
func readOffsetsCSV(r io.Reader, group string) ([]groupOffset, error) {
	in := csv.NewReader(r)
	in.TrimLeadingSpace = true
	in.FieldsPerRecord = 0 // as the first line
	var list []groupOffset
	seen := make(map[groupOffset]struct{})
	for {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		var o groupOffset
		switch len(fields) {
		case 3:
			if group == "" {
				return nil, fmt.Errorf("line %d names no group: name the one it is for", line)
			}
			o.Group = group
		case 4:
			o.Group, fields = fields[0], fields[1:]
		default:
			return nil, fmt.Errorf("line %d has %d fields, want topic,partition,offset or group,topic,partition,offset", line, len(fields))
		}
		partition, err := strconv.ParseInt(strings.TrimSpace(fields[1]), 10, 32)
		if err != nil || partition < 0 {
			return nil, fmt.Errorf("line %d: %q is no partition", line, fields[1])
		}
		offset, err := strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64)
		if err != nil || offset < 0 {
			return nil, fmt.Errorf("line %d: %q is no offset", line, fields[2])
		}
		o.Topic, o.Partition = fields[0], int32(partition)
		if _, again := seen[o]; again {
			return nil, fmt.Errorf("line %d: %s of group %s for the second time", line, o.tp(), o.Group)
		}
		seen[o] = struct{}{}
		o.Offset = offset
		list = append(list, o)
	}
}

func sortOffsets(list []groupOffset) {
	slices.SortFunc(list, func(a, b groupOffset) int {
		if c := strings.Compare(a.Group, b.Group); c != 0 {
			return c
		}
		return comparePartitions(a.tp(), b.tp())
	})
}
