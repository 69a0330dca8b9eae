package config

import (
	"fmt"
	"strings"
)

// nearest is the known name closest to name, or empty if none is close enough to be a slip of the pen.
func nearest(name string, keys *registry) string {
	low := strings.ToLower(name)
	best, bestAt := "", max(2, len(low)/5)+1
	for known, d := range keys.names {
		if d.Internal || abs(len(known)-len(low)) >= bestAt+1 {
			continue
		}
		at := distance(low, known, bestAt)
		if at < bestAt || at == bestAt && best != "" && d.Name < best {
			best, bestAt = d.Name, at
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// distance is the number of letters to insert, delete, replace or swap with a neighbour to turn a into b; beyond limit the count ends.
func distance(a, b string, limit int) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		low := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			low = min(low, row[j])
		}
		if low > limit {
			return low
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// unknownKey is the warning about a name that is in no table.
func unknownKey(name, where string) Warning {
	w := Warning{Key: name, Where: where, Text: fmt.Sprintf("unknown configuration key %s is kept but has no effect", name)}
	if d := topicKeys.get(name); d != nil && len(d.Broker) > 0 {
		w.Text += fmt.Sprintf("; it is a topic config, its default for all topics is %s", d.Broker[0])
	} else if near := nearest(name, brokerKeys); near != "" {
		w.Text += fmt.Sprintf("; did you mean %s?", near)
	}
	return w
}
