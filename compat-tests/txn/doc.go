// Package txn has checks of transactions that go beyond one client's view: the commands of `ottla txn`, and a history of
// many transactional producers and consumers under faults, searched for what exactly-once forbids.
package txn
