// Package versions runs one client limited to the requests of each Kafka version since 0.8: what it produces, in the
// message format of that age, it and a current client must read, and the other way round.
package versions
