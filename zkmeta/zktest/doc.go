// Package zktest is for tests: the suite that every zkmeta.Store has to pass (Run), a comparison of two
// stores under random operations (RunRandom), and a real ZooKeeper server as a child process
// (StartZooKeeper).
package zktest
