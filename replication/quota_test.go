package replication

import (
	"strings"
	"testing"
	"time"

	"ottla/storage"
)

func TestReplicaQuota(t *testing.T) {
	var q replicaQuota
	q.rate.Store(unlimited)
	if n, wait := q.allowed(0); n != unlimited || wait != 0 {
		t.Errorf("without a limit: %d bytes, wait %v", n, wait)
	}
	q.set(1000)
	for _, tt := range []struct {
		name   string
		at     time.Duration
		passed int // afterwards
		want   int64
		wait   time.Duration // at least, and half a second more at most
	}{
		{"half a second", 500 * time.Millisecond, 0, 500, 0},
		{"an hour saves up a second", time.Hour, 3000, 1000, 0},
		{"a debt of 2 s, a second later", time.Hour + time.Second, 0, 0, time.Second},
		{"just paid", time.Hour + 2*time.Second, 0, 0, time.Millisecond},
		{"and more", time.Hour + 2200*time.Millisecond, 0, 200, 0},
	} {
		n, wait := q.allowed(tt.at)
		if n != tt.want || wait < tt.wait || wait > tt.wait+500*time.Millisecond {
			t.Errorf("%s: %d bytes, wait %v, want %d, %v", tt.name, n, wait, tt.want, tt.wait)
		}
		q.passed(tt.passed)
	}
	q.set(0)
	if n, wait := q.allowed(2 * time.Hour); n != 0 || wait != maxQuotaWait {
		t.Errorf("rate 0: %d bytes, wait %v", n, wait)
	}
}

func TestThrottledReplicas(t *testing.T) {
	for _, tt := range []struct {
		list              string
		partition, broker int32
		want              bool
	}{
		{"", 0, 0, false}, {"*", 7, 9, true}, {"0:1", 0, 1, true}, {"0:1", 1, 0, false}, {"10:1,0:12", 0, 1, false}, {"10:1,0:12", 0, 12, true},
		{"2147483647:2147483647", 2147483647, 2147483647, true},
	} {
		if got := throttled(tt.list, tt.partition, tt.broker); got != tt.want {
			t.Errorf("%d:%d in %q: %v", tt.partition, tt.broker, tt.list, got)
		}
	}
}

// TestThrottledReplicaCatchesUpSlowly lets a follower that is not in sync fetch 300 kB at 100 kB/s, of which a second's worth may come at once.
func TestThrottledReplicaCatchesUpSlowly(t *testing.T) {
	const rate, batches, size = 100_000, 60, 5_000
	for _, tt := range []struct {
		name             string
		leader, follower int64
		replicas         [2]string
		slow             bool
	}{
		{"leader", rate, unlimited, [2]string{"0:0", ""}, true},
		{"leader, all", rate, unlimited, [2]string{"*", "*"}, true},
		{"follower", unlimited, rate, [2]string{"", "0:1"}, true},
		{"both", rate, rate, [2]string{"0:0", "0:1"}, true},
		{"another replica", rate, rate, [2]string{"0:2", "1:1"}, false},
		{"no rate", unlimited, unlimited, [2]string{"*", "*"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t, 3, nil)
			lc := storage.DefaultLogConfig()
			lc.LeaderThrottledReplicas, lc.FollowerThrottledReplicas = tt.replicas[0], tt.replicas[1]
			c.logCfg.Store(&lc)
			c.create("t", 1, 0, 1, 2)
			for _, b := range c.brokers {
				b.m.SetReplicationThrottles(tt.leader, tt.follower)
			}
			c.isolate(1, true)
			c.brokers[1].stop()
			p := c.partition(0, "t", 0)
			c.elect("t", 0, 0, 0, 2)
			value := strings.Repeat("x", size)
			began := time.Now()
			for range batches {
				mustProduce(t, p, value) // broker 2 is in sync and never throttled
			}
			if took := time.Since(began); took > 1500*time.Millisecond {
				t.Errorf("an in-sync replica took %v for %d bytes", took, batches*size)
			}
			began = time.Now()
			c.isolate(1, false)
			c.brokers[1].start()
			c.brokers[1].m.SetReplicationThrottles(tt.leader, tt.follower)
			c.announceTo(1)
			eventually(t, "broker 1 is in sync", func() bool { return len(c.isrOf("t", 0)) == 3 })
			took := time.Since(began)
			// (300 kB - what may come at once) / rate, less what one answer may overshoot
			if tt.slow && took < 1200*time.Millisecond || !tt.slow && took > 1200*time.Millisecond {
				t.Errorf("caught up after %v", took)
			}
			t.Logf("caught up after %v", took)
		})
	}
}
