package broker_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/zkmeta"
)

// impostor is a registration of a broker whose port accepts connections and answers nothing. Its session lives on, so that
// only another broker can remove what it holds.
type impostor struct {
	session  zkmeta.Session
	listener net.Listener
	accepted chan net.Conn
}

func register(t *testing.T, chroot string, id int32) *impostor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	i := &impostor{session: look(t, chroot), listener: l, accepted: make(chan net.Conn, 100)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			i.accepted <- c
		}
	}()
	info := zkmeta.BrokerInfo{ID: id, Version: 5, JMXPort: -1, TimestampMs: time.Now().UnixMilli(), Endpoints: []zkmeta.Endpoint{
		{Listener: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "127.0.0.1", Port: int32(l.Addr().(*net.TCPAddr).Port)},
	}}
	if _, err := zkmeta.Register(t.Context(), i.session, info, 0); err != nil {
		t.Fatal(err)
	}
	return i
}

// die closes the port and then the connections, as a process that ends does. It waits for two connections first: the
// controller's, and the one that is there to be watched.
func (i *impostor) die(t *testing.T) {
	t.Helper()
	var conns []net.Conn
	for len(conns) < 2 {
		select {
		case c := <-i.accepted:
			conns = append(conns, c)
		case <-time.After(time.Minute):
			t.Fatalf("%d connections, want the controller's and one to watch", len(conns))
		}
	}
	i.listener.Close()
	for _, c := range conns {
		c.Close()
	}
	go func() { // what had connected before the port was closed
		for {
			select {
			case c := <-i.accepted:
				c.Close()
			case <-t.Context().Done():
				return
			}
		}
	}()
}

func TestDeadBrokerIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 1, "ottla.failover.fast=true")...)
	dead, slow := register(t, chroot, 2), register(t, chroot, 3)
	dead.die(t)
	eventually(t, "the registration of the dead broker to go", func() error {
		if _, exists, err := dead.session.Exists(t.Context(), zkmeta.Broker(2), nil); err != nil || exists {
			return errors.Join(err, errors.New("it is there"))
		}
		return nil
	})
	if _, exists, err := slow.session.Exists(t.Context(), zkmeta.Broker(3), nil); err != nil || !exists {
		t.Errorf("the registration of a broker that answers nothing: there %v, %v", exists, err)
	}
}

func TestDeadControllerIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	b := start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 1, "ottla.failover.fast=true")...)
	dead := register(t, chroot, 2)
	eventually(t, "connections to the other broker", func() error {
		if len(dead.accepted) < 2 {
			return errors.New("not yet")
		}
		return nil
	})
	// The office goes to the other broker, as if it had been elected.
	info := zkmeta.ControllerInfo{BrokerID: 2, TimestampMs: time.Now().UnixMilli(), KRaftControllerEpoch: -1}
	eventually(t, "the other broker to be the controller", func() error {
		if err := dead.session.Delete(t.Context(), zkmeta.Controller, zkmeta.AnyVersion); err != nil && !errors.Is(err, zkmeta.ErrNoNode) {
			return err
		}
		_, err := dead.session.Create(t.Context(), zkmeta.Controller, info.Encode(), zkmeta.Ephemeral, nil)
		return err
	})
	dead.die(t)
	eventually(t, "the broker that lives to be the controller", func() error {
		data, _, err := dead.session.Get(t.Context(), zkmeta.Controller, nil)
		if err != nil {
			return err
		}
		c, err := zkmeta.DecodeController(data)
		if err == nil && c.BrokerID != b.ID() {
			err = errors.New("it is still the dead one")
		}
		return err
	})
}

// TestFormerRegistration has another session take the registration, so that the broker cannot come back. What a controller
// sent before is refused, and clients are sent away.
func TestFormerRegistration(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	b := start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 1)...)
	s := look(t, chroot)
	_, before, err := s.Get(t.Context(), zkmeta.Broker(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "metadata from the controller", func() error {
		if len(metadata(t, dial(t, b.addr)).Brokers) == 0 {
			return errors.New("no brokers yet")
		}
		return nil
	})
	// Damaged, so that no controller takes it for a broker and sends it metadata.
	_, err = s.Multi(t.Context(), zkmeta.DeleteOp(zkmeta.Broker(1), zkmeta.AnyVersion), zkmeta.CreateOp(zkmeta.Broker(1), []byte("?"), zkmeta.Ephemeral, nil))
	if err != nil {
		t.Fatal(err)
	}
	late := kmsg.NewPtrLeaderAndISRRequest()
	late.Version, late.ControllerEpoch, late.BrokerEpoch, late.ControllerID = 7, 1, before.Czxid, 2
	eventually(t, "an old decision to be refused", func() error {
		c := dial(t, b.addr)
		defer c.Close()
		c.send(late)
		resp := late.ResponseKind().(*kmsg.LeaderAndISRResponse)
		c.receive(resp)
		if resp.ErrorCode != kerr.StaleBrokerEpoch.Code {
			return fmt.Errorf("error code %d", resp.ErrorCode)
		}
		return nil
	})
	c := dial(t, b.addr)
	c.send(metadataRequest())
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("metadata of a broker out of the cluster: %d bytes, %v", n, err)
	}
	if err := s.Delete(t.Context(), zkmeta.Broker(1), zkmeta.AnyVersion); err != nil {
		t.Fatal(err)
	}
	eventually(t, "metadata again", func() error {
		c := dial(t, b.addr)
		defer c.Close()
		c.send(metadataRequest())
		_, err := c.Read(make([]byte, 1))
		return err
	})
}

// TestStaleRequestsOfAController has the epochs of a controller, or of this broker, that have been followed by others.
func TestStaleRequestsOfAController(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	b := start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 1)...)
	_, stat, err := look(t, chroot).Get(t.Context(), zkmeta.Broker(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	produce(t, b.client(), "t", 0, 1) // so that a controller is known
	for _, tt := range []struct {
		name       string
		controller int32
		broker     int64
		want       *kerr.Error
	}{
		{"an older controller", 0, stat.Czxid, kerr.StaleControllerEpoch},
		{"an older registration", 1, stat.Czxid - 1, kerr.StaleBrokerEpoch},
	} {
		isr := kmsg.NewPtrLeaderAndISRRequest()
		isr.Version, isr.ControllerID, isr.ControllerEpoch, isr.BrokerEpoch = 7, 1, tt.controller, tt.broker
		metadata := kmsg.NewPtrUpdateMetadataRequest()
		metadata.Version, metadata.ControllerID, metadata.ControllerEpoch, metadata.BrokerEpoch = 8, 1, tt.controller, tt.broker
		stop := kmsg.NewPtrStopReplicaRequest()
		stop.Version, stop.ControllerID, stop.ControllerEpoch, stop.BrokerEpoch = 3, 1, tt.controller, tt.broker
		for _, req := range []kmsg.Request{isr, metadata, stop} {
			c := dial(t, b.addr)
			c.send(req)
			resp := req.ResponseKind()
			c.receive(resp)
			var code int16
			switch resp := resp.(type) {
			case *kmsg.LeaderAndISRResponse:
				code = resp.ErrorCode
			case *kmsg.UpdateMetadataResponse:
				code = resp.ErrorCode
			case *kmsg.StopReplicaResponse:
				code = resp.ErrorCode
			}
			if code != tt.want.Code {
				t.Errorf("%s, %s: error code %d, want %d", tt.name, kmsg.NameForKey(req.Key()), code, tt.want.Code)
			}
		}
	}
	produce(t, b.client(), "t", 1, 2)
}

func TestRegistrationThatWasRemovedComesBack(t *testing.T) {
	t.Parallel()
	chroot := newTree(t)
	start(t, t.TempDir(), beside(zooKeeper.Addr, chroot, 1)...)
	s := look(t, chroot)
	_, before, err := s.Get(t.Context(), zkmeta.Broker(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), zkmeta.Broker(1), zkmeta.AnyVersion); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new registration", func() error {
		_, after, err := s.Get(t.Context(), zkmeta.Broker(1), nil)
		if err == nil && after.Czxid == before.Czxid {
			err = errors.New("it is the old one")
		}
		return err
	})
}
