package wire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fileRegion is a Region of a file, or of memory if f is nil.
type fileRegion struct {
	f        *os.File
	mem      []byte
	pos      int64
	n        int
	noFile   bool
	broken   bool
	released *atomic.Int32
}

func (r *fileRegion) Len() int { return r.n }

func (r *fileRegion) ReadAt(p []byte, off int64) (int, error) {
	if r.broken {
		return 0, errors.New("input/output error")
	}
	if r.f == nil {
		return copy(p, r.mem[off:r.n]), nil
	}
	return r.f.ReadAt(p, r.pos+off)
}

func (r *fileRegion) File() (*os.File, int64, bool) { return r.f, r.pos, r.f != nil && !r.noFile }
func (r *fileRegion) Release()                      { r.released.Add(1) }

func randomFile(t testing.TB, size int) (*os.File, []byte) {
	t.Helper()
	p := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{9})
	rng.Read(p)
	f, err := os.Create(filepath.Join(t.TempDir(), "segment.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(p); err != nil {
		t.Fatal(err)
	}
	return f, p
}

// randomFetch makes a response and the same one for kmsg.
func randomFetch(rng *rand.Rand, version int16, f *os.File, content []byte, released *atomic.Int32) (*FetchResponse, *kmsg.FetchResponse, int) {
	ours := &FetchResponse{ThrottleMillis: rng.Int32(), ErrorCode: int16(rng.IntN(100)), SessionID: rng.Int32()}
	theirs := kmsg.NewPtrFetchResponse()
	theirs.Version = version
	theirs.ThrottleMillis, theirs.ErrorCode, theirs.SessionID = ours.ThrottleMillis, ours.ErrorCode, ours.SessionID
	regions := 0
	for i := range rng.IntN(4) {
		t := FetchTopic{Name: fmt.Sprintf("topic-%0*d", rng.IntN(150), i)}
		kt := kmsg.NewFetchResponseTopic()
		kt.Topic = t.Name
		for i := range t.ID {
			t.ID[i] = byte(rng.Uint32())
		}
		kt.TopicID = t.ID
		for range rng.IntN(4) {
			p := FetchPartition{
				Partition: rng.Int32(), ErrorCode: int16(rng.IntN(100)), HighWatermark: rng.Int64(), LastStableOffset: rng.Int64(), LogStartOffset: rng.Int64(),
				PreferredReplica: rng.Int32N(3) - 1,
			}
			kp := kmsg.NewFetchResponseTopicPartition()
			kp.Partition, kp.ErrorCode, kp.HighWatermark, kp.LastStableOffset, kp.LogStartOffset = p.Partition, p.ErrorCode, p.HighWatermark, p.LastStableOffset, p.LogStartOffset
			kp.PreferredReadReplica = p.PreferredReplica
			if n := rng.IntN(4); n > 0 {
				p.Aborted, kp.AbortedTransactions = []AbortedTxn{}, []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
				for range n - 1 {
					a := AbortedTxn{rng.Int64(), rng.Int64()}
					ka := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
					ka.ProducerID, ka.FirstOffset = a.ProducerID, a.FirstOffset
					p.Aborted, kp.AbortedTransactions = append(p.Aborted, a), append(kp.AbortedTransactions, ka)
				}
			}
			if version >= 12 && rng.IntN(3) == 0 {
				p.Diverging = &EpochEndOffset{rng.Int32(), rng.Int64()}
				kp.DivergingEpoch.Epoch, kp.DivergingEpoch.EndOffset = p.Diverging.Epoch, p.Diverging.EndOffset
			}
			if version >= 12 && rng.IntN(3) == 0 {
				p.CurrentLeader = &LeaderIDEpoch{rng.Int32(), rng.Int32()}
				kp.CurrentLeader.LeaderID, kp.CurrentLeader.LeaderEpoch = p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch
			}
			n := rng.IntN([]int{1, 200, 40_000, len(content)}[rng.IntN(4)])
			pos := rng.IntN(len(content) - n)
			kp.RecordBatches = content[pos : pos+n : pos+n]
			switch rng.IntN(4) {
			case 0:
				p.Bytes = kp.RecordBatches
			case 1:
				p.Records = &fileRegion{mem: kp.RecordBatches, n: n, released: released}
			default:
				p.Records = &fileRegion{f: f, pos: int64(pos), n: n, released: released}
			}
			if p.Records != nil {
				regions++
			}
			t.Partitions, kt.Partitions = append(t.Partitions, p), append(kt.Partitions, kp)
		}
		ours.Topics, theirs.Topics = append(ours.Topics, t), append(theirs.Topics, kt)
	}
	if version >= 16 {
		for i := range rng.IntN(3) {
			n := FetchNode{NodeID: rng.Int32(), Host: fmt.Sprintf("host-%0*d", rng.IntN(200), i), Port: rng.Int32()}
			if rng.IntN(2) == 0 {
				n.Rack = kmsg.StringPtr("rack")
			}
			kn := kmsg.NewFetchResponseBroker()
			kn.NodeID, kn.Host, kn.Port, kn.Rack = n.NodeID, n.Host, n.Port, n.Rack
			ours.NodeEndpoints, theirs.Brokers = append(ours.NodeEndpoints, n), append(theirs.Brokers, kn)
		}
	}
	return ours, theirs, regions
}

func TestFetchResponseIsEncodedAsKmsgDoes(t *testing.T) {
	f, content := randomFile(t, 600_000)
	for _, transport := range []string{"tcp", "unix", "pipe", "tls"} {
		t.Run(transport, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			var responses [18 * 8]*FetchResponse
			var want [18 * 8][]byte
			var released, releasedResponses atomic.Int32
			regions := 0
			for i := range responses {
				version := int16(i % 18)
				ours, theirs, n := randomFetch(rng, version, f, content, &released)
				ours.Release = func() { releasedResponses.Add(1) }
				regions += n
				responses[i], want[i] = ours, theirs.AppendTo(nil)
			}
			server := NewServer(ServerConfig{Log: zerolog.Nop(), Registry: NewRegistry(API{1, 0, 17, func(c *Call) Reply {
				return Reply{Fetch: responses[c.Header.CorrelationID]}
			}})})
			conn := connect(t, server, transport)
			go func() {
				for i := range responses {
					req := kmsg.NewPtrFetchRequest()
					req.Version = int16(i % 18)
					if _, err := conn.Write(frameOf(req, int32(i))); err != nil {
						t.Error(err)
						return
					}
				}
			}()
			for i := range responses {
				id, rest := conn.recv()
				if i%18 >= 12 {
					rest = rest[1:] // no tagged fields in the header
				}
				if id != int32(i) || !bytes.Equal(rest, want[i]) {
					t.Fatalf("response %d of version %d: id %d, %d bytes, want %d", i, i%18, id, len(rest), len(want[i]))
				}
			}
			conn.Close()
			if err := server.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if int(released.Load()) != regions || int(releasedResponses.Load()) != len(responses) {
				t.Errorf("%d of %d regions and %d of %d responses were released", released.Load(), regions, releasedResponses.Load(), len(responses))
			}
		})
	}
}

// connect gives a client connection over a transport.
func connect(t testing.TB, server *Server, transport string) *rawConn {
	t.Helper()
	var conn net.Conn
	switch transport {
	case "pipe":
		var far net.Conn
		conn, far = net.Pipe()
		server.start(far, ListenerConfig{Name: "PIPE"})
	default:
		network, addr := "tcp", "127.0.0.1:0"
		if transport == "unix" {
			network, addr = "unix", filepath.Join(t.TempDir(), "s")
		}
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		var clientTLS *tls.Config
		if transport == "tls" {
			cert, roots := testCertificate(t)
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
			clientTLS = &tls.Config{RootCAs: roots, ServerName: "localhost"}
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			server.Serve(l, ListenerConfig{Name: transport})
		}()
		t.Cleanup(func() {
			server.Shutdown(context.Background())
			<-served
		})
		if conn, err = net.Dial(network, l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if clientTLS != nil {
			conn = tls.Client(conn, clientTLS)
		}
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &rawConn{conn, t}
}

func testCertificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestFetchFromAFailedDisk(t *testing.T) {
	f, content := randomFile(t, 200_000)
	var released atomic.Int32
	part := func(r *fileRegion) FetchPartition {
		r.released = &released
		return FetchPartition{Partition: 5, HighWatermark: 7, PreferredReplica: -1, Records: r}
	}
	replies := [][]FetchPartition{
		{part(&fileRegion{mem: content, n: 100}), part(&fileRegion{broken: true, n: 100}), part(&fileRegion{mem: content, n: 10})},
		{part(&fileRegion{f: f, n: 100_000, pos: 150_000})}, // the file ends before the region does
	}
	ts := startServer(t, ServerConfig{}, ListenerConfig{}, API{1, 0, 17, func(c *Call) Reply {
		return Reply{Fetch: &FetchResponse{Topics: []FetchTopic{{Name: "t", Partitions: replies[c.Header.CorrelationID]}}}}
	}})
	conn := ts.dial(t)
	req := kmsg.NewPtrFetchRequest()
	req.Version = 11
	conn.send(frameOf(req, 0))
	_, rest := conn.recv()
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 11
	if err := resp.ReadFrom(rest); err != nil {
		t.Fatal(err)
	}
	ps := resp.Topics[0].Partitions
	if ps[0].ErrorCode != 0 || ps[1].ErrorCode != 56 || ps[2].ErrorCode != 0 || len(ps[0].RecordBatches) != 100 || len(ps[1].RecordBatches) != 0 {
		t.Errorf("error codes %d %d %d, want only the second partition to have KAFKA_STORAGE_ERROR", ps[0].ErrorCode, ps[1].ErrorCode, ps[2].ErrorCode)
	}
	conn.send(frameOf(req, 1)) // its length was promised: the only way out is to close
	if n, err := io.Copy(io.Discard, conn); err != nil || n >= 100_000 {
		t.Errorf("%d bytes of a broken response, %v", n, err)
	}
	eventually(t, "all regions are released", func() bool { return released.Load() == 4 })
}

func TestProduceResponseIsEncodedAsKmsgDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 13 * 50 {
		version := int16(i % 13)
		r := kmsg.NewPtrProduceResponse()
		r.ThrottleMillis = rng.Int32()
		for range rng.IntN(4) {
			t := kmsg.NewProduceResponseTopic()
			t.Topic = "topic"
			for range rng.IntN(4) {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode, p.BaseOffset = rng.Int32(), int16(rng.IntN(99)), rng.Int64()
				p.LogAppendTime, p.LogStartOffset = rng.Int64(), rng.Int64()
				if rng.IntN(3) == 0 {
					p.ErrorMessage = kmsg.StringPtr("message")
					e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
					e.RelativeOffset = 3
					p.ErrorRecords = append(p.ErrorRecords, e, e)
					p.ErrorRecords[1].ErrorMessage = kmsg.StringPtr("why")
				}
				if rng.IntN(3) == 0 {
					p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = rng.Int32N(3)-1, rng.Int32N(3)-1
				}
				t.Partitions = append(t.Partitions, p)
			}
			r.Topics = append(r.Topics, t)
		}
		if rng.IntN(4) == 0 {
			r.Brokers = append(r.Brokers, kmsg.NewProduceResponseBroker())
		}
		r.Version = version
		want := r.AppendTo(nil)
		if got := appendProduceResponse(nil, version, r); !bytes.Equal(got, want) {
			t.Fatalf("version %d:\n%x, want\n%x", version, got, want)
		}
	}
}
