package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
)

func TestReadPlan(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{ // want: the plan, or a part of the error
		{"sorted", `{"version":1,"partitions":[{"topic":"b","partition":0,"replicas":[1]},{"topic":"a","partition":1,"replicas":[2,3],"log_dirs":["any","any"]}]}`,
			`{"version":1,"partitions":[{"topic":"a","partition":1,"replicas":[2,3],"log_dirs":["any","any"]},{"topic":"b","partition":0,"replicas":[1]}]}`},
		{"no JSON", `{`, "read the plan"},
		{"another version", `{"version":2,"partitions":[{"topic":"a","partition":0,"replicas":[1]}]}`, "version 2"},
		{"empty", `{"version":1,"partitions":[]}`, "no partitions"},
		{"without a topic", `{"version":1,"partitions":[{"partition":0,"replicas":[1]}]}`, "no topic"},
		{"twice", `{"version":1,"partitions":[{"topic":"a","partition":0,"replicas":[1]},{"topic":"a","partition":0,"replicas":[2]}]}`, "a-0: named twice"},
		{"no replicas", `{"version":1,"partitions":[{"topic":"a","partition":0,"replicas":[]}]}`, "a-0: no replicas"},
		{"a broker twice", `{"version":1,"partitions":[{"topic":"a","partition":0,"replicas":[3,1,3]}]}`, "twice in [3 1 3]"},
		{"a directory", `{"version":1,"partitions":[{"topic":"a","partition":0,"replicas":[1],"log_dirs":["/data"]}]}`, "log_dirs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "plan.json")
			if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			fromFile, err := readPlan(file, nil)
			fromInput, err2 := readPlan("-", strings.NewReader(tt.text))
			switch {
			case err != nil && err2 != nil:
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
			case err != nil || err2 != nil:
				t.Errorf("file: %v, input: %v", err, err2)
			case fromFile.text() != tt.want || fromInput.text() != tt.want:
				t.Errorf("got %s, want %s", fromFile.text(), tt.want)
			}
		})
	}
}

func TestReassignFlags(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"plan.json", "is needed"},
		{"plan.json --execute --verify", "is needed"},
		{"plan.json --verify --watch", "--watch goes with"},
		{"--execute", "a plan is needed"},
		{"plan.json --list", "a plan is needed"},
		{"--generate --topics a", "needs --topics and --brokers"},
		{"--generate --topics a --brokers -1", "is no broker id"},
		{"plan.json --verify --throttle 1", "--throttle goes with --execute"},
		{"plan.json --execute --throttle -2", "is negative"},
		{"plan.json --watch --interval 0s", "is not positive"},
		{"plan.json --watch -o yaml", "no YAML"},
		{"none.json --verify", "read the plan"},
	} {
		root := newRoot()
		root.SetArgs(append([]string{"partition", "reassign"}, strings.Fields(tt.args)...))
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestMoves(t *testing.T) {
	p := &plan{Partitions: []assignment{
		{Topic: "t", Partition: 0, Replicas: []int32{2, 3}},
		{Topic: "t", Partition: 1, Replicas: []int32{1, 4}},
		{Topic: "t", Partition: 2, Replicas: []int32{2, 1}},
	}}
	now := map[topicPartition]kadm.PartitionDetail{
		{"t", 0}: {Replicas: []int32{1, 2}}, {"t", 1}: {Replicas: []int32{3, 1, 2}}, {"t", 2}: {Replicas: []int32{1, 2}},
	}
	running := map[topicPartition]reassigning{
		{"t", 1}: {replicas: []int32{3, 1, 2}, adding: []int32{3}, removing: []int32{2}}, // from 1, 2 to 3, 1: changed by the plan
		{"u", 0}: {replicas: []int32{5, 6}, adding: []int32{5}, removing: []int32{6}},    // goes on
	}
	want := map[topicPartition]move{
		{"t", 0}: {sources: []int32{1, 2}, destinations: []int32{3}},
		{"t", 1}: {sources: []int32{1, 2}, destinations: []int32{4}},
		{"t", 2}: {sources: []int32{1, 2}, destinations: []int32{}},
		{"u", 0}: {sources: []int32{6}, destinations: []int32{5}},
	}
	if diff := cmp.Diff(want, moves(p, now, running), cmp.AllowUnexported(move{}, topicPartition{})); diff != "" {
		t.Error(diff)
	}
}

// TestSettled has a broker that hears late of the end of a reassignment.
func TestSettled(t *testing.T) {
	for _, tt := range []struct {
		name string
		seen []string // the state of the partition, look by look; the last one stays
		want string
		took time.Duration
	}{
		{"complete", []string{complete}, complete, 0},
		{"in progress", []string{inProgress, complete}, inProgress, 0},
		{"heard of late", []string{otherwise, otherwise, complete}, complete, 2 * settleInterval},
		{"never as planned", []string{otherwise}, otherwise, settleTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, looks := time.Now(), 0
				list, err := settled(t.Context(), func() ([]reassignRow, error) {
					state := tt.seen[min(looks, len(tt.seen)-1)]
					looks++
					return []reassignRow{{State: complete}, {State: state}}, nil
				})
				if err != nil || list[1].State != tt.want || time.Since(began) != tt.took {
					t.Errorf("%v %v after %v, want %s after %v", list, err, time.Since(began), tt.want, tt.took)
				}
			})
		})
	}
}

func TestReassignBar(t *testing.T) {
	var out strings.Builder
	v := &reassignWatch{out: &out, bar: newReassignBar(&out)}
	for _, pr := range []progress{
		{Partitions: 4, Bytes: 4 << 20},
		{Partitions: 4, Complete: 3, Bytes: 4 << 20, Copied: 3 << 20},
		{Partitions: 4, Complete: 4, Bytes: 4 << 20, Copied: 4 << 20},
	} {
		if err := v.show(pr); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"3 of 4 partitions  75%", "4 of 4 partitions 100%", "(4.2/4.2 MB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
	if !strings.HasSuffix(out.String(), "\n") {
		t.Errorf("the bar does not end its line: %q", out.String())
	}
}
