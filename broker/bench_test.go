package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/wire/batch"
)

// benchConn sends one encoded request again and again and allocates nothing, so that what a benchmark counts is the broker's.
type benchConn struct {
	net.Conn
	answers []byte
}

func benchDial(b *testing.B, addr string) *benchConn {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return &benchConn{c, make([]byte, 1<<20)}
}

func frameOf(req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, 1)
}

// exchange writes requests and reads answers of so many bytes together; 0 is one answer of any size. It returns what it read.
func (c *benchConn) exchange(b *testing.B, requests []byte, size int) []byte {
	if _, err := c.Write(requests); err != nil {
		b.Fatal(err)
	}
	if size == 0 {
		if _, err := io.ReadFull(c, c.answers[:4]); err != nil {
			b.Fatal(err)
		}
		size = 4 + int(binary.BigEndian.Uint32(c.answers))
		if _, err := io.ReadFull(c, c.answers[4:size]); err != nil {
			b.Fatal(err)
		}
		return c.answers[:size]
	}
	if _, err := io.ReadFull(c, c.answers[:size]); err != nil {
		b.Fatal(err)
	}
	return c.answers[:size]
}

// decode reads the body of an answer behind length and correlation id, and the tags of a flexible header.
func decode(b *testing.B, answer []byte, resp kmsg.Response) {
	b.Helper()
	at := 8
	if resp.IsFlexible() {
		at++
	}
	if err := resp.ReadFrom(answer[at:]); err != nil {
		b.Fatal(err)
	}
}

// ioCalls is how many system calls of the read and write families this process has made, sendfile as two (/proc/self/io).
func ioCalls(b *testing.B) (n int64) {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "syscr" || name == "syscw" {
			v, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			n += v
		}
	}
	return n
}

// run sends a request, window of them at once, until b is over, and reports the calls for each, the client's among them.
func (c *benchConn) run(b *testing.B, frame []byte, window int) {
	requests := bytes.Repeat(frame, window)
	size := window * len(c.exchange(b, frame, 0))
	c.exchange(b, requests, size)
	b.ReportAllocs()
	before := ioCalls(b)
	b.ResetTimer()
	for i := 0; i < b.N; i += window {
		c.exchange(b, requests, size)
	}
	b.StopTimer()
	b.ReportMetric(float64(ioCalls(b)-before)/float64(b.N), "io-calls/op")
}

func benchBatch(records, size int) []byte {
	bb := batch.NewBuilder(batch.BuilderOptions{BaseOffset: 0, LeaderEpoch: -1, ProducerID: -1, Epoch: -1, Sequence: -1})
	value := make([]byte, size)
	for range records {
		bb.Add(time.Now().UnixMilli(), nil, value, nil)
	}
	return bb.Build()
}

func benchProduce(topic string, acks int16, parts int, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	for p := range parts {
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = int32(p), records
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// BenchmarkProduce is a whole Produce over loopback, with and without others in flight behind it.
func BenchmarkProduce(b *testing.B) {
	r := start(b, b.TempDir())
	r.create("t", 100, nil)
	for _, bb := range []struct {
		name           string
		acks           int16
		parts, records int
		window         int
	}{
		{"records=1/inflight=1", 1, 1, 1, 1},
		{"records=1/inflight=16", 1, 1, 1, 16},
		{"records=1/acks=all", -1, 1, 1, 1},
		{"records=64/inflight=1", 1, 1, 64, 1},
		{"records=1/partitions=100", 1, 100, 1, 1},
	} {
		size := 100
		if bb.records > 1 {
			size = 1024
		}
		b.Run(bb.name, func(b *testing.B) {
			req := benchProduce("t", bb.acks, bb.parts, benchBatch(bb.records, size))
			frame := frameOf(req)
			c := benchDial(b, r.addr)
			resp := req.ResponseKind().(*kmsg.ProduceResponse)
			if decode(b, c.exchange(b, frame, 0), resp); resp.Topics[0].Partitions[0].ErrorCode != 0 {
				b.Fatal(resp)
			}
			b.SetBytes(int64(len(frame)))
			c.run(b, frame, bb.window)
		})
	}
}

// BenchmarkFetch reads one record, through the framing's buffer, and a MiB, with sendfile.
func BenchmarkFetch(b *testing.B) {
	r := start(b, b.TempDir())
	r.create("t", 1, nil)
	c := benchDial(b, r.addr)
	c.exchange(b, frameOf(benchProduce("t", 1, 1, benchBatch(1, 100))), 0)
	large := frameOf(benchProduce("t", 1, 1, benchBatch(64, 1024)))
	for range 20 {
		c.exchange(b, large, 0)
	}
	for _, size := range []int32{1, 512 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			req := fetchAll("t", 0)
			if size > 1 {
				req.Topics[0].Partitions[0].FetchOffset = 1
			}
			req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = size, size
			frame := frameOf(req)
			b.SetBytes(int64(len(c.exchange(b, frame, 0))))
			c.run(b, frame, 1)
		})
	}
}

// BenchmarkMetadata asks for a topic of 100 partitions.
func BenchmarkMetadata(b *testing.B) {
	r := start(b, b.TempDir())
	r.create("t", 100, nil)
	c := benchDial(b, r.addr)
	req := metadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr("t")
	req.Topics = append(req.Topics, t)
	frame := frameOf(req)
	c.run(b, frame, 1)
}

// BenchmarkOffsetCommit commits one offset of a group without members.
func BenchmarkOffsetCommit(b *testing.B) {
	r := start(b, b.TempDir())
	r.create("t", 1, nil)
	// The first member of any group has the offsets topic made.
	cl := r.client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
	produce(b, cl, "t", 0, 1)
	consume(b, cl, 1)
	cl.Close()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 7, "bench", -1
	rt, rp := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
	rt.Topic, rp.Offset = "t", 1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	c := benchDial(b, r.addr)
	frame := frameOf(req)
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	if decode(b, c.exchange(b, frame, 0), resp); resp.Topics[0].Partitions[0].ErrorCode != 0 {
		b.Fatal(resp)
	}
	c.run(b, frame, 1)
}
