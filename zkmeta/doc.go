// Package zkmeta is the broker's view of Kafka's metadata in ZooKeeper: paths and JSON of every znode,
// the Session and Store interfaces, and the sequences of reads and writes that several parts of the
// broker share (registration, cluster id, topic creation, configuration changes).
//
// Two packages implement Store: zkmeta/ensemble over a real ZooKeeper ensemble, zkmeta/embedded with
// the same tree in process, kept in a file, for a broker that runs alone. Which of them is used is known
// only to the code that constructs it. zkmeta/zktest holds the test-suite that both have to pass, and
// starts a real ZooKeeper for tests.
//
// # Bytes
//
// What is written is what Kafka 3.9 in ZooKeeper mode writes (kafka.zk.ZkData), so that Kafka brokers,
// their tools and ours can share one tree. Readers accept the older versions Kafka accepts and ignore
// unknown keys. Nodes that are only directories have null data.
//
// # Sessions
//
// A Session is one ZooKeeper session. When it expires it is dead; the owner resigns from everything and
// connects anew. "Silent" comes before: the ensemble has not been heard for a session timeout, so its
// answer may be that the session is gone. A broker that is silent resigns as controller and freezes its
// ISRs but goes on serving.
//
// A write whose connection broke has an unknown outcome (ErrConnectionLoss). The functions here that
// write one-of-a-kind nodes (Register, ClusterID, CreateTopic) look again before they decide; the
// controller guards its writes with a check of /controller_epoch's version.
//
// # Goroutines
//
// Reads and writes here are plain calls in the caller's goroutine; lists are read with a bounded number
// of goroutines that end before the call returns. WatchConfigChanges and WatchNotifications start one
// goroutine, which ends with its context or the session.
package zkmeta
