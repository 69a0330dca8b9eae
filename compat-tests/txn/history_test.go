package txn

import (
	"slices"
	"testing"
)

// clean is a history without anomalies: two producers, a committed, an aborted and two unknown transactions each, one of
// which became visible.
func clean() *history {
	h := &history{}
	offset := map[int32]int64{}
	for producer := range 2 {
		for n, end := range []outcome{committed, aborted, unknown, unknown, committed} {
			tx := transaction{producer: producer, n: n, end: end}
			for i := range 4 {
				p := int32(i % 2)
				w := write{record{producer, n, i}, p, offset[p]}
				offset[p]++
				tx.writes = append(tx.writes, w)
				if end == committed || n == 2 {
					h.final = append(h.final, read{w.record, p, w.offset})
					h.copies = append(h.copies, w.record)
				}
			}
			h.transactions = append(h.transactions, tx)
		}
	}
	h.sessions = [][]read{slices.Clone(h.final), slices.Clone(h.final[:7])}
	return h
}

func TestCheckFindsPlantedAnomalies(t *testing.T) {
	if found := check(clean()); len(found) != 0 {
		t.Fatalf("in a clean history: %v", found)
	}
	for _, tt := range []struct {
		name  string
		plant func(h *history)
		kinds []string
	}{
		{"a committed record is gone", func(h *history) {
			h.final, h.copies, h.sessions = h.final[1:], h.copies[1:], nil
		}, []string{"lost write"}},
		{"a record that was read is gone, of an unknown transaction", func(h *history) {
			gone := func(r record) bool { return r.Producer == 0 && r.Txn == 2 }
			h.final = slices.DeleteFunc(h.final, func(r read) bool { return gone(r.record) })
			h.copies = slices.DeleteFunc(h.copies, gone)
			h.sessions = h.sessions[1:]
		}, []string{"lost write"}},
		{"half an unknown transaction", func(h *history) {
			h.sessions = nil
			h.final, h.copies = slices.Delete(h.final, 5, 6), slices.Delete(h.copies, 5, 6)
		}, []string{"torn transaction"}},
		{"an aborted record was read", func(h *history) {
			w := h.transactions[1].writes[0]
			h.sessions[1] = []read{{w.record, w.partition, w.offset}}
			h.final = slices.Insert(h.final, 4, h.sessions[1][0])
			h.copies = append(h.copies, w.record)
		}, []string{"aborted read"}},
		{"the same record at a second offset", func(h *history) {
			r := h.final[len(h.final)-1]
			r.offset++
			h.final = append(h.final, r)
		}, []string{"duplicate"}},
		{"a consumer gets a record twice", func(h *history) { h.sessions[1] = append(h.sessions[1], h.sessions[1][6]) }, []string{"duplicate"}},
		{"two records of a producer have changed places", func(h *history) {
			h.sessions, h.transactions[0].writes[0].offset, h.transactions[0].writes[2].offset = nil, -1, -1
			h.final[0].record, h.final[2].record = h.final[2].record, h.final[0].record
		}, []string{"reordering"}},
		{"offsets go back", func(h *history) { s := h.sessions[1]; s[0], s[2] = s[2], s[0] }, []string{"reordering"}},
		{"another record at an offset that was read", func(h *history) {
			h.sessions = [][]read{{h.final[0]}}
			h.sessions[0][0].record = h.final[2].record
		}, []string{"changed record"}},
		{"an acknowledged offset is another one", func(h *history) { h.transactions[0].writes[3].offset = 99 }, []string{"changed record"}},
		{"a record that nobody wrote", func(h *history) {
			h.sessions = nil
			h.final = append(h.final, read{record{9, 9, 9}, 0, 1000})
			h.copies = append(h.copies, record{9, 9, 9})
		}, []string{"invented record"}},
		{"a copy is missing", func(h *history) { h.copies = h.copies[1:] }, []string{"lost copy"}},
		{"a copy too many", func(h *history) { h.copies = append(h.copies, h.copies[3]) }, []string{"duplicate"}},
		{"a copy of what is not there", func(h *history) { h.copies = append(h.copies, record{0, 1, 0}) }, []string{"invented record"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := clean()
			tt.plant(h)
			var kinds []string
			found := check(h)
			for _, a := range found {
				kinds = append(kinds, a.kind)
			}
			kinds = slices.Compact(kinds)
			if !slices.Equal(kinds, tt.kinds) {
				t.Errorf("found %v, want %v", found, tt.kinds)
			}
		})
	}
}
