package kcat

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/compat-tests/harness"
)

// modern is a member of a group with a current librdkafka, in a process of its own.
type modern struct {
	cmd      *exec.Cmd
	out, err lockedBuffer
}

func startModern(t *testing.T, l *harness.Librdkafka, topic, group string, settings ...string) *modern {
	t.Helper()
	m := &modern{cmd: l.Member(topic, append([]string{"bootstrap.servers=" + harness.Bootstrap(t), "group.id=" + group, "auto.offset.reset=earliest",
		"topic.metadata.refresh.interval.ms=1000"}, settings...)...)}
	m.cmd.Stdout, m.cmd.Stderr = &m.out, &m.err
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.cmd.ProcessState == nil {
			m.cmd.Process.Kill()
			m.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("librdkafka said:\n%s", m.err.String())
		}
	})
	return m
}

// has is how many partitions the member has.
func (m *modern) has() (n int) {
	for l := range strings.Lines(m.out.String()) {
		fmt.Sscanf(l, "has %d", &n)
	}
	return n
}

// records are the lines of records that the member has printed.
func (m *modern) records(seen map[string]bool) {
	out := m.out.String()
	for l := range strings.Lines(out[:strings.LastIndexByte(out, '\n')+1]) {
		if !strings.HasPrefix(l, "has") {
			seen[l] = true
		}
	}
}

func (m *modern) leave(t *testing.T) {
	t.Helper()
	m.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(limit, func() { m.cmd.Process.Kill() })
	defer late.Stop()
	if err := m.cmd.Wait(); err != nil {
		t.Fatalf("leave: %v", err)
	}
}

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", limit, what)
		}
	}
}

// servesConsumerGroups asks for version 1: Kafka 3.9 lists version 0 with ZooKeeper, and refuses it.
func servesConsumerGroups(t *testing.T) bool {
	t.Helper()
	v, err := admin(t).ApiVersions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range v {
		if _, most, ok := b.KeyVersions(kmsg.ConsumerGroupHeartbeat.Int16()); !ok || most < 1 {
			return false
		}
	}
	return true
}

// TestModernGroups: members with a current librdkafka share a topic, one goes and comes back, and everything is read and committed.
func TestModernGroups(t *testing.T) {
	for _, tt := range []struct {
		name     string
		protocol string
		settings []string
		static   bool
	}{
		{"members of a classic group share, leave and come back", "classic", []string{
			"session.timeout.ms=6000", "heartbeat.interval.ms=500", "partition.assignment.strategy=cooperative-sticky"}, false},
		{"uniform: members of a KIP-848 group share, leave and come back", "consumer", []string{"group.remote.assignor=uniform"}, false},
		{"range: members of a KIP-848 group share, leave and come back", "consumer", []string{"group.remote.assignor=range"}, false},
		{"a static member of a KIP-848 group comes back to what it had", "consumer", nil, true},
	} {
		t.Run("librdkafka 2.16: "+tt.name, func(t *testing.T) {
			l := harness.NewLibrdkafka(t)
			if tt.protocol == "consumer" && !servesConsumerGroups(t) {
				t.Skip("the broker does not serve KIP-848 groups (ConsumerGroupHeartbeat v1)")
			}
			t.Parallel()
			const partitions, each = 6, 50
			tp, group := topic(t, partitions), name()
			spread(t, tp, partitions, each, "early")
			join := func(id string) *modern {
				settings := append([]string{"group.protocol=" + tt.protocol, "client.id=" + id}, tt.settings...)
				if tt.static {
					settings = append(settings, "group.instance.id="+id)
				}
				return startModern(t, l, tp, group, settings...)
			}
			a := join("a")
			await(t, "all partitions", func() bool { return a.has() == partitions })
			b := join("b")
			await(t, "three partitions each", func() bool { return a.has() == partitions/2 && b.has() == partitions/2 })
			spread(t, tp, partitions, each, "middle")
			b.leave(t)
			if !tt.static { // a static member's partitions are kept for it
				await(t, "all partitions again", func() bool { return a.has() == partitions })
			}
			c := join("b")
			await(t, "three partitions each again", func() bool { return a.has() == partitions/2 && c.has() == partitions/2 })
			spread(t, tp, partitions, each, "late")
			seen := map[string]bool{}
			await(t, "all records", func() bool {
				a.records(seen)
				b.records(seen)
				c.records(seen)
				return len(seen) == 3*partitions*each
			})
			a.leave(t)
			c.leave(t)
			offsets, err := admin(t).FetchOffsets(t.Context(), group)
			if err != nil {
				t.Fatal(err)
			}
			for p := range int32(partitions) {
				if o, ok := offsets.Lookup(tp, p); !ok || o.At != 3*each {
					t.Errorf("partition %d: committed %d, want %d", p, o.At, 3*each)
				}
			}
		})
	}
}
