// Package broker assembles one running broker: metadata session, logs, replication, coordinators, controller and listeners, in an order
// that can be read in Start and, backwards, in Stop.
//
// # Start
//
// The metadata store is opened (an external ZooKeeper ensemble, or embedded in the first log directory; nothing but openStore knows
// which), then the cluster id and broker id are settled, the logs opened, the listeners bound, the broker registered, the controller
// started, and requests served. Registration comes after the listeners are bound, so that the registered ports are real.
//
// # Goroutines
//
// One follows the metadata session and renews everything that ended with it, one the log directories that fail, one (for each session) the
// configuration changes. All start after the broker is registered. Connections, logs, fetchers, coordinators and the
// controller have their own; each is stopped and waited for by Stop.
//
// # What survives a crash
//
// The logs (package storage) and the znode tree. A broker that restarts before its old session is gone finds the session's id beside its
// logs and takes its own registration over, and gives up the controllership that went with it.
package broker
