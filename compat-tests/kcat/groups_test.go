package kcat

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// member starts a kcat in a group; it runs until it is stopped.
func member(t *testing.T, group string, args ...string) *process {
	t.Helper()
	return start(t, nil, append([]string{"-G", group, "-u", "-X", "auto.offset.reset=earliest", "-X", "heartbeat.interval.ms=500",
		"-X", "session.timeout.ms=6000"}, args...)...)
}

var rebalanced = regexp.MustCompile(`Group \S+ rebalanced[^:]*: (assigned|revoked|incremental assignment|incremental revoke)[^\n]*`)

// partitions returns how many partitions the member has, by what it reported of each rebalance.
func (p *process) partitions() int {
	n := 0
	for _, m := range rebalanced.FindAllStringSubmatch(p.err.String(), -1) {
		switch named := strings.Count(m[0], " ["); m[1] {
		case "assigned":
			n = named
		case "revoked":
			n = 0
		case "incremental assignment":
			n += named
		case "incremental revoke":
			n -= named
		}
	}
	return n
}

func (p *process) untilPartitions(t *testing.T, n int) {
	t.Helper()
	p.until(t, fmt.Sprintf("%d partitions", n), func() bool { return p.partitions() == n })
}

// spread puts n records on every partition and returns them.
func spread(t *testing.T, topic string, partitions, n int, text string) string {
	t.Helper()
	var all strings.Builder
	for p := range partitions {
		var part strings.Builder
		for i := range n {
			fmt.Fprintf(&part, "%s %d %d\n", text, p, i)
		}
		produce(t, topic, part.String(), "-p", fmt.Sprint(p))
		all.WriteString(part.String())
	}
	return all.String()
}

func TestGroups(t *testing.T) {
	drain := func(t *testing.T, group, tp string, args ...string) string {
		t.Helper()
		return ok(t, "", append([]string{"-G", group, "-q", "-e", "-X", "auto.offset.reset=earliest"}, append(args, tp)...)...)
	}
	t.Run("one member reads all, and after a restart only what is new", func(t *testing.T) {
		t.Parallel()
		tp, g := topic(t, 3), name()
		sameUnordered(t, drain(t, g, tp), "")
		one := spread(t, tp, 3, 20, "one")
		sameUnordered(t, drain(t, g, tp), one)
		eq(t, "output", drain(t, g, tp), "")
		two := spread(t, tp, 3, 5, "two")
		sameUnordered(t, drain(t, g, tp), two)
	})
	t.Run("without commits a restart reads all again", func(t *testing.T) {
		t.Parallel()
		tp, g := topic(t, 2), name()
		all := spread(t, tp, 2, 10, "v")
		sameUnordered(t, drain(t, g, tp, "-X", "enable.auto.offset.store=false"), all)
		sameUnordered(t, drain(t, g, tp, "-X", "enable.auto.offset.store=false"), all)
	})
	t.Run("two groups read independently", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 2)
		all := spread(t, tp, 2, 10, "v")
		sameUnordered(t, drain(t, name(), tp), all)
		sameUnordered(t, drain(t, name(), tp), all)
	})
	t.Run("auto.offset.reset=latest: a new group starts at the end", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		spread(t, tp, 1, 10, "old")
		eq(t, "output", ok(t, "", "-G", name(), "-q", "-e", "-X", "auto.offset.reset=latest", tp), "")
	})
	for _, strategy := range []string{"range", "roundrobin", "cooperative-sticky"} {
		t.Run("two members share the partitions: "+strategy, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && strategy == "roundrobin" {
				t.Skip("short run")
			}
			tp, g := topic(t, 4), name()
			a := member(t, g, "-X", "partition.assignment.strategy="+strategy, tp)
			a.until(t, "all partitions", func() bool { return a.partitions() == 4 })
			b := member(t, g, "-X", "partition.assignment.strategy="+strategy, tp)
			b.untilPartitions(t, 2)
			all := spread(t, tp, 4, 50, strategy)
			both := func() string { return a.out.String() + b.out.String() }
			b.until(t, "all records", func() bool { return strings.Count(both(), "\n") >= 200 })
			a.stop(t)
			b.stop(t)
			sameUnordered(t, both(), all)
			if got := strings.Count(b.out.String(), "\n"); got != 100 {
				t.Fatalf("the second member read %d records, want those of two partitions", got)
			}
		})
	}
	t.Run("a member that leaves hands over its partitions", func(t *testing.T) {
		t.Parallel()
		tp, g := topic(t, 4), name()
		a, b := member(t, g, tp), member(t, g, tp)
		a.untilPartitions(t, 2)
		b.untilPartitions(t, 2)
		spread(t, tp, 4, 10, "before")
		b.until(t, "the first records", func() bool { return strings.Count(a.out.String()+b.out.String(), "\n") == 40 })
		a.stop(t)
		b.untilPartitions(t, 4)
		spread(t, tp, 4, 10, "after")
		b.until(t, "the second records", func() bool { return strings.Count(b.out.String(), "after") == 40 })
		b.stop(t)
		if strings.Count(a.out.String()+b.out.String(), "\n") != 80 {
			t.Fatal("records came twice")
		}
	})
	t.Run("a killed member is put out after session.timeout.ms", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("short run: waits for the session timeout")
		}
		tp, g := topic(t, 2), name()
		a, b := member(t, g, tp), member(t, g, tp)
		a.untilPartitions(t, 1)
		b.untilPartitions(t, 1)
		a.cmd.Process.Signal(syscall.SIGKILL)
		b.untilPartitions(t, 2)
		all := spread(t, tp, 2, 5, "v")
		b.until(t, "all records", func() bool { return strings.Count(b.out.String(), "\n") == 10 })
		b.stop(t)
		sameUnordered(t, b.out.String(), all)
	})
	t.Run("a static member that comes back keeps its partitions without a rebalance", func(t *testing.T) {
		t.Parallel()
		tp, g := topic(t, 2), name()
		static := func(id string) *process { return member(t, g, "-X", "group.instance.id="+id, tp) }
		a, b := static("a"), static("b")
		a.untilPartitions(t, 1)
		b.untilPartitions(t, 1)
		rebalances := len(rebalanced.FindAllString(b.err.String(), -1))
		a.cmd.Process.Signal(syscall.SIGKILL)
		a.wait(t, limit)
		again := static("a")
		again.untilPartitions(t, 1)
		eq(t, "rebalances of the other member", len(rebalanced.FindAllString(b.err.String(), -1)), rebalances)
		again.stop(t)
		b.stop(t)
	})
	t.Run("a second static member with the same id puts the first out", func(t *testing.T) {
		t.Parallel()
		tp, g := topic(t, 1), name()
		a := member(t, g, "-X", "group.instance.id=same", tp)
		a.untilPartitions(t, 1)
		b := member(t, g, "-X", "group.instance.id=same", tp)
		b.untilPartitions(t, 1)
		a.until(t, "the error", func() bool {
			return strings.Contains(a.err.String(), "fenced") || strings.Contains(a.err.String(), "Fenced")
		})
		b.stop(t)
	})
	t.Run("a subscription by pattern finds its topics", func(t *testing.T) {
		t.Parallel()
		a, b := topic(t, 1), topic(t, 2)
		produce(t, a, "in a\n")
		produce(t, b, "in b\n")
		got := drain(t, name(), "^("+a+"|"+b+")$")
		sameUnordered(t, got, "in a\nin b\n")
	})
	t.Run("a session timeout outside the broker's bounds is refused", func(t *testing.T) {
		t.Parallel()
		p := start(t, nil, "-G", name(), "-X", "session.timeout.ms=100", "-X", "heartbeat.interval.ms=50", topic(t, 1))
		p.until(t, "the error", func() bool { return strings.Contains(p.err.String(), "Broker: Invalid session timeout") })
	})
	t.Run("a group name that is empty is refused", func(t *testing.T) {
		t.Parallel()
		r := kcat(t, "", "-G", "", "-e", topic(t, 1))
		if r.code == 0 {
			t.Fatalf("it was taken: %s", r.err)
		}
	})
}
