package controller

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"ottla/zkmeta"
	"ottla/zkmeta/embedded"
	"ottla/zkmeta/zktest"
)

// newFileCluster is a cluster whose store is a file, so that writes cost what they cost a real broker.
func newFileCluster(b *testing.B) *cluster {
	store, err := embedded.Open(embedded.Config{Path: filepath.Join(b.TempDir(), "metadata.db"), Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	return newClusterOn(b, store, func(s zkmeta.Session) { store.Expire(s.ID()) })
}

// told is how many partitions the broker knows as replicas.
func (c *cluster) told(b *fakeBroker) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(b.replicas)
}

// BenchmarkCreateTopic measures from the topic znode's write to the last replica's LeaderAndIsr.
func BenchmarkCreateTopic(b *testing.B) {
	for _, n := range []int{1, 50, 500} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			c := newFileCluster(b)
			one := c.startBrokers(1)
			var spent time.Duration
			want := 0
			for i := 0; b.Loop(); i++ {
				name := fmt.Sprintf("t%d", i)
				c.create("/config/topics/"+name, zkmeta.ConfigEntity{}.Encode())
				want += n
				start := time.Now()
				a := assignment(name, repeat(n, 1)...)
				c.create(zkmeta.Topic(name), a.Encode())
				for c.told(one) < want {
					time.Sleep(100 * time.Microsecond)
				}
				spent += time.Since(start)
			}
			b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "ms/topic")
		})
	}
}

// BenchmarkFailover kills the controller, which is also a broker, of a cluster with many partitions, and
// measures until every partition it led has another leader.
func BenchmarkFailover(b *testing.B) {
	b.Run("store=embedded", func(b *testing.B) { benchmarkFailover(b, newFileCluster) })
	b.Run("store=zookeeper", func(b *testing.B) {
		server := zktest.StartZooKeeper(b)
		n := 0
		benchmarkFailover(b, func(b *testing.B) *cluster {
			n++
			return newEnsembleCluster(b, server, fmt.Sprintf("/bench%d", n))
		})
	})
}

func benchmarkFailover(b *testing.B, open func(*testing.B) *cluster) {
	const topics, partitions = 100, 100
	for b.Loop() {
		b.StopTimer()
		c := open(b)
		one := c.startBrokers(3)
		for i := range topics {
			c.createTopic(fmt.Sprintf("t%03d", i), repeat(partitions, 1, 2, 3)...)
		}
		two := c.broker(2)
		for c.told(two) < topics*partitions {
			time.Sleep(time.Millisecond)
		}
		standby := c.join(4)
		b.StartTimer()
		start := time.Now()
		c.kill(one)
		for !standby.ctrl.IsActive() {
			time.Sleep(100 * time.Microsecond)
		}
		elected := time.Since(start)
		led := func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, r := range two.replicas {
				if r.Leader != 2 {
					return false
				}
			}
			return true
		}
		for !led() {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/failover")
		b.ReportMetric(float64(elected.Milliseconds()), "ms/election")
	}
}
