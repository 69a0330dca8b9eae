package main

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOffsetsAsCSV(t *testing.T) {
	list := []groupOffset{{"g", "t", 0, 1}, {"a group, with \"quotes\"", strings.Repeat("x", 24), 1, 2}, {"g", strings.Repeat("x", 25), 2, 1 << 60}}
	var with, without bytes.Buffer
	if err := errors.Join(writeOffsetsCSV(&with, list, true), writeOffsetsCSV(&without, list, false)); err != nil {
		t.Fatal(err)
	}
	x24 := strings.Repeat("x", 24)
	if want := "g,t,0,1\n\"a group, with \"\"quotes\"\"\"," + x24 + ",1,2\ng,\"" + x24 + "x\",2,1152921504606846976\n"; with.String() != want {
		t.Errorf("with groups:\n%swant\n%s", &with, want)
	}
	if want := "t,0,1\n" + x24 + ",1,2\n\"" + x24 + "x\",2,1152921504606846976\n"; without.String() != want {
		t.Errorf("without groups:\n%swant\n%s", &without, want)
	}
	if got, err := readOffsetsCSV(&with, ""); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("read back: %v, %v", got, err)
	}
	for i := range list {
		list[i].Group = "other"
	}
	if got, err := readOffsetsCSV(&without, "other"); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("read back for a group: %v, %v", got, err)
	}
}

func TestBadCSVIsRefused(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no group", "t,0,1\n", "names no group"},
		{"too few fields", "t,0\n", "2 fields"},
		{"too many fields", "g,t,0,1,2\n", "5 fields"},
		{"two forms", "g,t,0,1\nt,0,1\n", "wrong number of fields"},
		{"no partition", "g,t,x,1\n", "no partition"},
		{"negative partition", "g,t,-1,1\n", "no partition"},
		{"no offset", "g,t,0,9223372036854775808\n", "no offset"},
		{"negative offset", "g,t,0,-1\n", "no offset"},
		{"twice", "g,t,0,1\ng,t,0,2\n", "line 2: t-0 of group g for the second time"},
		{"open quote", "\"g,t,0,1\n", "quote"},
	} {
		if got, err := readOffsetsCSV(strings.NewReader(tt.text), ""); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v, want an error with %q", tt.name, got, err, tt.want)
		}
	}
}

func FuzzOffsetsCSV(f *testing.F) {
	f.Add("g,t,0,1\n\"a,b\",t,1,2\n")
	f.Add("t,0,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := readOffsetsCSV(strings.NewReader(text), "g")
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := writeOffsetsCSV(&b, list, true); err != nil {
			t.Fatal(err)
		}
		again, err := readOffsetsCSV(&b, "")
		if err != nil || len(again) != len(list) {
			t.Fatalf("%q became %v, and then %v, %v", text, list, again, err)
		}
	})
}

func TestTimesAsInKafkasTool(t *testing.T) {
	utc := time.Date(2024, 5, 1, 2, 3, 4, 500e6, time.UTC)
	for _, tt := range []struct {
		text string
		want time.Time
	}{
		{"2024-05-01T02:03:04.500", utc},
		{"2024-05-01T02:03:04.500Z", utc},
		{"2024-05-01T04:03:04.500+02:00", utc},
		{"2024-05-01T04:03:04.500+0200", utc},
		{"2024-05-01T04:03:04.500+02", utc},
		{"2024-05-01T02:03:04", utc.Truncate(time.Second)},
		{"1714528984500", utc},
		{"yesterday", time.Time{}},
		{"2024-05-01", time.Time{}},
	} {
		if got, err := parseDatetime(tt.text); !got.Equal(tt.want) || (err != nil) != tt.want.IsZero() {
			t.Errorf("%s: %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		text string
		want time.Duration
	}{
		{"P1D", 24 * time.Hour}, {"P2DT3H4M5.5S", 51*time.Hour + 4*time.Minute + 5500*time.Millisecond}, {"pt1m", time.Minute}, {"PT-6H3M", -6*time.Hour + 3*time.Minute},
		{"-PT1H", -time.Hour}, {"36h", 36 * time.Hour}, {"P", -1}, {"P1DT", -1}, {"PT", -1}, {"1D", -1}, {"P1Y", -1}, {"", -1}, {"P99999999999999999999D", -1},
	} {
		if got, err := parseISODuration(tt.text); err == nil && got != tt.want || (err != nil) != (tt.want == -1) {
			t.Errorf("%q: %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

func TestScopes(t *testing.T) {
	for _, tt := range []struct {
		text string
		want topicScope
		bad  bool
	}{
		{"t", topicScope{topic: "t"}, false},
		{"t:0", topicScope{"t", []int32{0}}, false},
		{"t:3, 1", topicScope{"t", []int32{3, 1}}, false},
		{"t:", topicScope{}, true}, {":1", topicScope{}, true}, {"t:x", topicScope{}, true}, {"t:-1", topicScope{}, true}, {"", topicScope{}, true},
	} {
		if got, err := parseScope(tt.text); (err != nil) != tt.bad || err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %+v, %v", tt.text, got, err)
		}
	}
}

func TestWatchDrawsLagOverTime(t *testing.T) {
	if got := sparkline([]int64{0, 1, 50, 100, 7}, 4); got != "▂▅█▂" {
		t.Errorf("sparkline %q", got)
	}
	if got := sparkline([]int64{0, 0}, 80); got != "▁▁" {
		t.Errorf("no lag: %q", got)
	}
	var out bytes.Buffer
	w := &lagWatch{interval: time.Second, out: &out, width: func() int { return 60 }, history: make(map[[2]string][]int64)}
	at := time.Date(2024, 5, 1, 2, 3, 4, 0, time.UTC)
	for i := range int64(3) {
		g := groupRow{Group: "g", State: "Stable", Offsets: []offsetRow{{Topic: "t", Lag: 100 * i}, {Topic: "t", Partition: 1, Lag: -1}, {Topic: "u", Lag: 5}}}
		if err := w.show(at, []groupRow{g}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.show(at, nil, errors.New("no broker\nanswers")); err != nil {
		t.Fatal(err)
	}
	frames := strings.Split(out.String(), "\x1b[3A\x1b[J")
	if len(frames) != 4 {
		t.Fatalf("%d frames: %q", len(frames), out.String())
	}
	if want := "02:03:04  every 1s, newest on the right\ng t Stable                      200 ▁▄█\ng u Stable                        5 ███\n"; strings.ReplaceAll(frames[2], "▅", "▄") != want {
		t.Errorf("the third frame is\n%swant\n%s", frames[2], want)
	}
	if !strings.Contains(frames[3], "no broker\nanswers\n") {
		t.Errorf("the error is not shown: %q", frames[3])
	}
	for line := range strings.SplitSeq(out.String(), "\n") {
		if _, line, _ = strings.Cut(line, "J"); len([]rune(line)) > 60 {
			t.Errorf("wider than the terminal: %q", line)
		}
	}
}

func TestMigrationDecides(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		flags                migrateFlags
		zookeeper, kafka     int64
		toZooKeeper, toKafka int64
		action               string
	}{
		{"new in kafka", migrateFlags{to: inKafka}, 5, -1, -1, 5, actionToKafka},
		{"further along in zookeeper", migrateFlags{to: inKafka}, 5, 3, -1, 5, actionToKafka},
		{"further along in kafka", migrateFlags{to: inKafka}, 5, 7, -1, -1, actionAhead},
		{"back in kafka", migrateFlags{to: inKafka, overwrite: true}, 5, 7, -1, 5, actionToKafka},
		{"the same", migrateFlags{to: inKafka, overwrite: true}, 5, 5, -1, -1, actionSame},
		{"nothing in zookeeper", migrateFlags{to: inKafka, overwrite: true}, -1, 5, -1, -1, actionSame},
		{"new in zookeeper", migrateFlags{to: inZooKeeper}, -1, 5, 5, -1, actionToZooKeeper},
		{"further along in zookeeper, back", migrateFlags{to: inZooKeeper}, 7, 5, -1, -1, actionAhead},
		{"dual, kafka is behind", migrateFlags{to: inBoth}, 7, 5, -1, 7, actionToKafka},
		{"dual, zookeeper is behind", migrateFlags{to: inBoth}, 5, 7, 7, -1, actionToZooKeeper},
		{"dual, nothing in kafka", migrateFlags{to: inBoth}, 0, -1, -1, 0, actionToKafka},
		{"dual, nothing in zookeeper", migrateFlags{to: inBoth}, -1, 0, 0, -1, actionToZooKeeper},
		{"dual, the same", migrateFlags{to: inBoth}, 7, 7, -1, -1, actionSame},
	} {
		r := migrateRow{ZooKeeper: tt.zookeeper, Kafka: tt.kafka}
		tt.flags.decide(&r)
		if r.Action != tt.action || r.toKafka != tt.toKafka || r.toZooKeeper != tt.toZooKeeper {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
}
