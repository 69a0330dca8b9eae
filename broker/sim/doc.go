// Package sim runs whole brokers, the production packages as they are, in a world of which one number decides everything: a deterministic
// simulation of controller and replication. It has no code but tests; docs/simulation.md says what it shows and how to use it.
//
// # The world
//
// Three brokers, a ZooKeeper, clients and faults live in a bubble of testing/synctest: hours pass in a moment, and time moves only when
// nobody has anything to do. A broker sees of the world what broker.Options gives it: a network (network_test.go), the client of a ZooKeeper
// ensemble (zookeeper_test.go) and a disk (storage/vfs.Mem). All delays, faults and client requests come from random numbers made from the
// seed, a stream for each part (world.stream).
//
// # Exactness
//
// Which goroutine runs next, which case a select takes and in which order a map is walked is the runtime's choice. With the runtime that
// broker/sim/overlay makes, it comes from the seed as well, and a seed is the same run each time, event by event (but for rare cases: docs/simulation.md). The tests also work with the
// ordinary runtime and the race detector, where a seed is only the same world.
//
// Each seed runs in a process of its own (TestSeed), because pools of buffers outlive a bubble and must not.
//
// # Locks
//
// In a bubble no time passes while a goroutine waits for a mutex. Nothing here waits with one held, and brokers must not either.
package sim
