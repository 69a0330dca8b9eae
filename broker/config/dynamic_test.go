package config

import (
	"strings"
	"sync"
	"testing"
)

func TestDynamicLayersOverrideEachOther(t *testing.T) {
	d := NewDynamic(newStatic(t, map[string]string{"log.retention.minutes": "10", "log.segment.bytes": "1000"}))
	var changes [][]string
	cancel := d.OnChange(func(before, after *Snapshot) { changes = append(changes, Changed(before, after)) })
	steps := []struct {
		set       func(map[string]string) error
		props     map[string]string
		retention int64
		segment   int32
	}{
		{d.SetDefault, map[string]string{"log.segment.bytes": "2000", "log.retention.ms": "5"}, 5, 2000},
		{d.SetBroker, map[string]string{"log.segment.bytes": "3000"}, 5, 3000},
		{d.SetDefault, map[string]string{}, 600_000, 3000},
		{d.SetBroker, nil, 600_000, 1000},
	}
	for i, s := range steps {
		if err := s.set(s.props); err != nil {
			t.Fatal(err)
		}
		want(t, "retention", d.Snapshot().LogRetentionMs(), s.retention)
		want(t, "segment", Get(d.Snapshot(), LogSegmentBytes), s.segment)
		topic, err := d.Snapshot().Topic(nil)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "topic's retention", TopicGet(topic, TopicRetentionMs), s.retention)
		if len(changes) != i+1 {
			t.Fatalf("step %d: %d changes told", i, len(changes))
		}
	}
	want(t, "changes", changes, [][]string{{"log.retention.minutes", "log.retention.ms", "log.segment.bytes"}, {"log.segment.bytes"},
		{"log.retention.minutes", "log.retention.ms"}, {"log.segment.bytes"}})
	cancel()
	if err := d.SetBroker(map[string]string{"log.segment.bytes": "3000"}); err != nil || len(changes) != 4 {
		t.Errorf("told after cancel, or error %v", err)
	}
}

func TestBadDynamicConfigsInTheStoreAreLeftOut(t *testing.T) {
	d := NewDynamic(Default())
	err := d.SetDefault(map[string]string{"log.segment.bytes": "abc", "broker.id": "5", "listeners": "PLAINTEXT://:1", "log.index.interval.bytes": "9",
		"ssl.keystore.type": "JKS", "listener.name.a.ssl.client.auth": "none"})
	for _, text := range []string{"log.segment.bytes is ignored: Invalid value abc", "Cannot update these configs dynamically: Set(broker.id)",
		"broker id must be specified: Set(listeners)", "HashSet(ssl.keystore.type)", "broker id must be specified: Set(listener.name.a.ssl.client.auth)"} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v\nlacks %s", err, text)
		}
	}
	want(t, "the good one", Get(d.Snapshot(), LogIndexIntervalBytes), 9)
	want(t, "the bad one", Get(d.Snapshot(), LogSegmentBytes), 1<<30)

	err = d.SetDefault(map[string]string{"log.retention.ms": "0", "log.index.interval.bytes": "10"})
	if err == nil || !strings.Contains(err.Error(), "log.retention.ms must be unlimited") {
		t.Errorf("error %v", err)
	}
	want(t, "nothing of a contradiction counts", Get(d.Snapshot(), LogIndexIntervalBytes), 9)
}

func TestAlterBrokerKeepsWhatItCannotUse(t *testing.T) {
	d := NewDynamic(Default())
	value := "5"
	next, err := d.AlterBroker(true, map[string]string{"listener.name.tls.ssl.keystore.location": "/x"}, []Change{{"log.index.interval.bytes", &value, OpSet}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "next", next, map[string]string{"listener.name.tls.ssl.keystore.location": "/x", "log.index.interval.bytes": "5"})
	next, err = d.ReplaceBroker(true, []Change{{"log.index.interval.bytes", &value, OpAppend}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "replaced", next, map[string]string{"log.index.interval.bytes": "5"})
	for name, text := range map[string]string{
		"listeners":            "listeners cannot be changed while the broker runs yet",
		"advertised.listeners": "advertised.listeners cannot be changed while the broker runs yet",
	} {
		value := "PLAINTEXT://a:1"
		if _, err := d.AlterBroker(true, nil, []Change{{name, &value, OpSet}}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	twice := []Change{{"log.index.interval.bytes", &value, OpSet}, {"log.index.interval.bytes", nil, OpDelete}}
	if _, err := d.AlterBroker(true, nil, twice); err == nil || err.Error() != "Error due to duplicate config keys" {
		t.Errorf("twice: %v", err)
	}
	nulls := []Change{{"a", nil, OpSet}, {"b", nil, OpAppend}}
	if _, err := d.Snapshot().AlterTopic("t", nil, nulls); err == nil || err.Error() != "Null value not supported for : a, b" {
		t.Errorf("nulls: %v", err)
	}
}

func TestListChanges(t *testing.T) {
	for _, c := range []struct {
		op                   Op
		old, value, expected string
	}{
		{OpAppend, "delete", "compact", "delete,compact"},
		{OpAppend, "delete", "delete", "delete"},
		{OpAppend, "", "compact", "compact"},
		{OpSubtract, "delete,compact", "delete", "compact"},
		{OpSubtract, "delete", "compact", "delete"},
		{OpSubtract, "delete", "delete", ""},
	} {
		next, err := applyChanges(topicKeys, "", map[string]string{"cleanup.policy": c.old}, []Change{{"cleanup.policy", &c.value, c.op}})
		if err != nil {
			t.Fatal(err)
		}
		want(t, c.old+" and "+c.value, next["cleanup.policy"], c.expected)
	}
	value := "compact"
	next, err := pristine().AlterTopic("t", nil, []Change{{"cleanup.policy", &value, OpAppend}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "append to the default", next["cleanup.policy"], "delete,compact")
}

func TestTopicConfigsFollowTheBroker(t *testing.T) {
	s, _ := load(t, Sources{Sets: []string{"log.roll.hours=2", "log.roll.jitter.hours=1", "log.flush.scheduler.interval.ms=7", "message.max.bytes=9", "log.retention.ms=-5",
		"log.message.timestamp.difference.max.ms=100", "log.message.timestamp.after.max.ms=50", "compression.type=gzip", "compression.gzip.level=4", "log.cleanup.policy=compact"}})
	topic, err := s.Topic(map[string]string{"index.interval.bytes": "1", "no.such": "1", "segment.bytes": "x"})
	if err == nil || !strings.Contains(err.Error(), "no.such") || !strings.Contains(err.Error(), "segment.bytes") {
		t.Errorf("error %v", err)
	}
	want(t, "segment.ms", TopicGet(topic, TopicSegmentMs), 7_200_000)
	want(t, "segment.jitter.ms", TopicGet(topic, TopicSegmentJitterMs), 3_600_000)
	want(t, "flush.ms", TopicGet(topic, TopicFlushMs), 7)
	want(t, "max.message.bytes", TopicGet(topic, TopicMaxMessageBytes), 9)
	want(t, "retention.ms", TopicGet(topic, TopicRetentionMs), -1)
	want(t, "before", topic.TimestampBeforeMaxMs(), 100)
	want(t, "after", topic.TimestampAfterMaxMs(), 50)
	want(t, "index.interval.bytes", TopicGet(topic, TopicIndexIntervalBytes), 1)
	want(t, "segment.bytes", TopicGet(topic, TopicSegmentBytes), 1<<30)
	want(t, "compact", topic.Has("compact"), true)
	level, ok := topic.CompressionLevel()
	want(t, "level", level, 4)
	want(t, "has level", ok, true)
	value, source := TopicValue(s, map[string]string{"segment.ms": "5"}, "segment.ms")
	want(t, "value", value, "5")
	want(t, "source", source, SourceTopic)
	value, source = TopicValue(s, nil, "max.message.bytes")
	want(t, "value", value, "9")
	want(t, "source", source, SourceStatic)
}

func TestDescribeFiltersByName(t *testing.T) {
	s := pristine()
	var names []string
	for _, e := range append(s.DescribeBroker([]string{"num.partitions", "no.such", "broker.id"}), s.DescribeTopic(nil, []string{"retention.ms", "x"})...) {
		names = append(names, e.Name)
	}
	want(t, "names", names, []string{"broker.id", "num.partitions", "retention.ms"})
	if e := s.DescribeBroker([]string{"ssl.keystore.password", "num.partitions"}); e[1].Value != nil || !e[1].Sensitive || *e[0].Value != "1" {
		t.Errorf("%+v", e)
	}
}

func TestSnapshotsAreReadWhileTheyChange(t *testing.T) {
	d := NewDynamic(Default())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				s := d.Snapshot()
				if Get(s, LogSegmentBytes) != Get(s, LogIndexIntervalBytes) && IsSet(s, LogSegmentBytes) {
					t.Error("half a change was seen")
				}
				s.DescribeBroker([]string{"log.segment.bytes"})
			}
		})
	}
	for _, n := range []string{"20", "30", "40", "50"} {
		if err := d.SetDefault(map[string]string{"log.segment.bytes": n, "log.index.interval.bytes": n}); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}
