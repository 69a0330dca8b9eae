package broker_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

func (c *rawConn) apiVersions() *kmsg.ApiVersionsResponse {
	c.t.Helper()
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, "raw", "1"
	c.send(req)
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	c.receive(resp)
	return resp
}

// kafka39 is a registration as Kafka 3.9 writes it, of a broker that is not there.
func kafka39(id int32) []byte {
	e := zkmeta.Endpoint{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "127.0.0.1", Port: 1}
	b := zkmeta.BrokerInfo{ID: id, Version: 5, JMXPort: -1, TimestampMs: 1, Endpoints: []zkmeta.Endpoint{e}}
	return b.Encode()
}

// offered asks on a new connection whether transactions of version 2 are offered, and in which epoch.
func offered(t *testing.T, r *running) (bool, int64) {
	t.Helper()
	conn := dial(t, r.addr)
	defer conn.Close()
	resp := conn.apiVersions()
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" && f.MinVersionLevel == 2 && f.MaxVersionLevel == 2 {
			return true, resp.FinalizedFeaturesEpoch
		}
	}
	return false, resp.FinalizedFeaturesEpoch
}

func becomes(t *testing.T, r *running, want bool) (epoch int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("transactions of version 2 offered: %v", want), func() error {
		got, e := offered(t, r)
		if epoch = e; got != want {
			return fmt.Errorf("it is %v in epoch %d", got, e)
		}
		return nil
	})
	return epoch
}

// A broker that registers without the feature, as Kafka 3.9 does, takes it from the cluster; nothing is written to /feature.
func TestTransactionsOfVersion2AreOfferedWhileEveryBrokerKnowsThem(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	b := start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 1)...)
	first := becomes(t, b, true)
	s := look(t, chroot)
	if _, err := s.Create(t.Context(), zkmeta.Broker(9), kafka39(9), zkmeta.Ephemeral, nil); err != nil {
		t.Fatal(err)
	}
	second := becomes(t, b, false)
	if err := s.Delete(t.Context(), zkmeta.Broker(9), zkmeta.AnyVersion); err != nil {
		t.Fatal(err)
	}
	third := becomes(t, b, true)
	if second <= first || third <= second {
		t.Errorf("the features' epochs are %d, %d, %d: a client keeps what has the highest", first, second, third)
	}
	other := start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 2, "ottla.transaction.v2.enable=false")...)
	becomes(t, b, false)
	becomes(t, other, false)
	other.stop()
	becomes(t, b, true)
	data, _, err := s.Get(t.Context(), "/feature", nil)
	if err != nil || string(data) != `{"features":{},"version":2,"status":1}` {
		t.Errorf("/feature is %s, %v", data, err)
	}
}

// A client that began a transaction of version 2 ends it after the offer was withdrawn, and is sent to ask again.
func TestTransactionsOfVersion2EndAfterTheyAreWithdrawn(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	b := start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 1, "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1")...)
	b.create("t", 1, nil)
	becomes(t, b, true)
	c := b.client(kgo.TransactionalID("id"))
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, c, "t", 0, 10)
	id, epoch, err := c.ProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, b.addr) // another client, in the same transaction
	defer conn.Close()
	conn.apiVersions()
	s := look(t, chroot)
	if _, err := s.Create(t.Context(), zkmeta.Broker(9), kafka39(9), zkmeta.Ephemeral, nil); err != nil {
		t.Fatal(err)
	}
	becomes(t, b, false)
	end := kmsg.NewPtrEndTxnRequest()
	end.Version, end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = 5, "id", id, epoch, true
	resp := end.ResponseKind().(*kmsg.EndTxnResponse)
	conn.send(end)
	conn.receive(resp)
	if resp.ErrorCode != 0 || resp.ProducerID != id || resp.ProducerEpoch != epoch+1 {
		t.Errorf("end: %+v", resp)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays: its client does not learn that transactions of version 2 are not offered any more")
	}
	again := dial(t, b.addr)
	defer again.Close()
	again.apiVersions()
	again.send(end)
	again.receive(resp)
	if resp.ErrorCode != 0 && resp.ErrorCode != kerr.ConcurrentTransactions.Code {
		t.Errorf("the end again: %+v", resp)
	}
	again.apiVersions() // it was told, and stays connected
	if n := len(consume(t, b.client(kgo.ConsumeTopics("t"), kgo.FetchIsolationLevel(kgo.ReadCommitted())), 10)); n != 10 {
		t.Errorf("%d records are visible", n)
	}
}

// A producer begins the next transaction while the markers of the last one are being written.
func TestTransactionsOfVersion2FollowEachOther(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	b.create("t", 20, nil)
	c := b.client(kgo.TransactionalID("id"), kgo.ProducerLinger(0))
	const transactions, records = 200, 40
	for n := range transactions {
		transaction(t, c, "t", n*records, (n+1)*records, kgo.TryCommit)
	}
	if _, epoch, err := c.ProducerID(t.Context()); err != nil || epoch != transactions {
		t.Errorf("epoch %d after %d transactions of version 2, %v", epoch, transactions, err)
	}
	wantRecords(t, b, "t", transactions*records)
}
