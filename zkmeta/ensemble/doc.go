// Package ensemble is a metadata store over a real ZooKeeper ensemble, with go-zookeeper as the client.
//
// # One session, one zk.Conn
//
// After an expiry go-zookeeper opens the next session by itself and sends it what was queued for the last
// one. Here a zk.Conn lives for one session: once the server has said "expired" its dialer refuses, the
// Conn is closed, and the broker connects anew when it has given up what it held.
//
// # The connection
//
// The dialer returns a conn that reads along. From the connect response it takes session id and
// negotiated timeout; from every packet the time at which the ensemble was last heard (Silent is decided
// by that, not by the state of TCP). It also bounds the handshake, which go-zookeeper gives several
// session timeouts.
//
// After a reconnect go-zookeeper sets its watches again "as of the last zxid seen", but reads that zxid
// while its receive loop may already have raised it: a race, and a change between the two would be
// missed. So the conn holds back answers that carry a zxid until the packet that sets the watches has
// been written. Since that packet is only written if there are watches, each session keeps one on a node
// that never exists.
//
// # Calls
//
// go-zookeeper's calls block without a context. Each call therefore runs in a goroutine of its own, of
// which there are at most MaxInFlight (zookeeper.max.in.flight.requests); a caller whose context ends
// leaves it behind, and it ends with the connection. A read whose connection broke is sent again; a write
// only if it is sure that it was not sent, else it fails with ErrConnectionLoss.
//
// # Watches
//
// go-zookeeper makes a channel for each read with a watch and keeps it until it fires. Here one watch per
// path and side (data, children) is set on the server and shared by all who ask for it; a read while it is
// set is a plain read. Events are taken from the event callback, in the order of the connection, and
// handed to one delivery goroutine per session.
//
// # Goroutines and locks
//
// Per session: go-zookeeper's own, a monitor (states, log lines, the end) and a delivery goroutine.
// The watch table's mutex and the delivery queue's are leaves.
package ensemble
