// Package api translates requests of the Kafka protocol into calls of the domain packages, one file per API key. table.go is
// the only list of keys and versions; ApiVersions answers from it.
//
// A handler checks names, calls one method per item of the request and fills the response in the request's order. It holds no
// lock and keeps no state: that is a layer down, in replication, coordinator, zkmeta and metadata. Handlers run in the goroutine of
// the connection that sent the request; those that wait (JoinGroup, Fetch, CreateTopics) end when the connection does.
//
// Strings and byte slices of requests on the data path alias the connection's frame and are valid until the handler returns.
package api
