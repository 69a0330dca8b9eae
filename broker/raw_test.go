package broker_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rawConn speaks the protocol without a client library's retries and background requests.
type rawConn struct {
	net.Conn
	t testing.TB
}

func dial(t testing.TB, addr string) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &rawConn{c, t}
}

func (c *rawConn) send(req kmsg.Request) {
	c.t.Helper()
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, req, 1)
	if _, err := c.Write(frame); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads the answer to the only request that is open.
func (c *rawConn) receive(resp kmsg.Response) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, frame); err != nil {
		c.t.Fatalf("half an answer: %v", err)
	}
	frame = frame[4:] // correlation id
	if resp.IsFlexible() && resp.Key() != 18 {
		frame = frame[1:] // no tags
	}
	if err := resp.ReadFrom(frame); err != nil {
		c.t.Fatal(err)
	}
}

func metadataRequest() *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.Topics = 9, []kmsg.MetadataRequestTopic{}
	return req
}

// metadata asks for the brokers.
func metadata(t testing.TB, c *rawConn) *kmsg.MetadataResponse {
	t.Helper()
	req := metadataRequest()
	c.send(req)
	resp := req.ResponseKind()
	c.receive(resp)
	return resp.(*kmsg.MetadataResponse)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wasRead says whether the broker has read all that was sent: the receive queue of its end is empty.
func (c *rawConn) wasRead() error {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return err
	}
	local, remote := c.RemoteAddr().(*net.TCPAddr).Port, c.LocalAddr().(*net.TCPAddr).Port
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line) // sl local_address rem_address st tx_queue:rx_queue ...
		if len(f) > 4 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", local)) && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", remote)) {
			if strings.HasSuffix(f[4], ":00000000") {
				return nil
			}
			return errors.New("the broker has not read the request")
		}
	}
	return errors.New("the connection is not in /proc/net/tcp")
}

// fetchAll is a Fetch of a topic's first partition from an offset on that waits up to a minute for a first byte.
func fetchAll(name string, offset int64) *kmsg.FetchRequest {
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes, fetch.SessionEpoch = 11, 60_000, 1, 50<<20, -1
	topic, partition := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	topic.Topic, partition.FetchOffset, partition.PartitionMaxBytes = name, offset, 50<<20
	topic.Partitions = append(topic.Partitions, partition)
	fetch.Topics = append(fetch.Topics, topic)
	return fetch
}

// produceBig writes n records of 900 kB.
func produceBig(t testing.TB, b *running, topic string, n int) {
	t.Helper()
	c := b.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := make([]byte, 900_000)
	for range n {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}
