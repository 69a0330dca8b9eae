package config

import "math"

// Connections and requests.

var BackgroundThreads = define(areaNetwork, Key[int32]{
	Name: "background.threads", Default: 10,
	Check:  AtLeast[int32](1),
	Update: ClusterWide, Importance: High, Mark: Accept,
	Doc: "Threads for background work in Kafka; goroutines do it here, so the number has no effect.",
})

var ConnectionFailedAuthenticationDelayMs = define(areaNetwork, Key[int32]{
	Name: "connection.failed.authentication.delay.ms", Default: 100,
	Check: AtLeast[int32](0),
	Mark:  Accept,
	Doc:   "Pause before a failed authentication is answered and the connection closed, in milliseconds.",
})

var ConnectionsMaxIdleMs = define(areaNetwork, Key[int64]{
	Name: "connections.max.idle.ms", Default: 600_000,
	Importance: Medium,
	Doc:        "Connections without traffic for this long are closed, in milliseconds.",
})

var ConnectionsMaxReauthMs = define(areaNetwork, Key[int64]{
	Name:       "connections.max.reauth.ms",
	Importance: Medium, Mark: Later,
	Doc: "Longest life of an authenticated session before the client must authenticate again, in milliseconds (KIP-368); 0 switches it off.",
})

var FetchMaxBytes = define(areaNetwork, Key[int32]{
	Name: "fetch.max.bytes", Default: 55 << 20,
	Check:      AtLeast[int32](1024),
	Importance: Medium,
	Doc:        "Most bytes in one fetch response; the first batch is returned even when it is larger.",
})

var FetchPurgatoryPurgeIntervalRequests = define(areaNetwork, Key[int32]{
	Name: "fetch.purgatory.purge.interval.requests", Default: 1000,
	Importance: Medium, Mark: Accept,
	Doc: "How often Kafka clears finished fetches out of its waiting list; here they leave it at once.",
})

var MaxConnectionCreationRate = define(areaNetwork, Key[int32]{
	Name: "max.connection.creation.rate", Default: math.MaxInt32,
	Check:  AtLeast[int32](0),
	Update: ClusterWide, Importance: Medium,
	Doc: "New connections per second that the broker accepts.",
})

var MaxConnections = define(areaNetwork, Key[int32]{
	Name: "max.connections", Default: math.MaxInt32,
	Check:  AtLeast[int32](0),
	Update: ClusterWide, Importance: Medium,
	Doc: "Connections that the broker holds at once; at the limit it stops accepting until one closes.",
})

var MaxConnectionsPerIp = define(areaNetwork, Key[int32]{
	Name: "max.connections.per.ip", Default: math.MaxInt32,
	Check:  AtLeast[int32](0),
	Update: ClusterWide, Importance: Medium,
	Doc: "Connections that one client address may hold.",
})

var MaxConnectionsPerIpOverrides = define(areaNetwork, Key[string]{
	Name:   "max.connections.per.ip.overrides",
	Update: ClusterWide, Importance: Medium,
	Doc: "Addresses with a limit of their own, as host:count with commas between.",
})

var MaxIncrementalFetchSessionCacheSlots = define(areaNetwork, Key[int32]{
	Name: "max.incremental.fetch.session.cache.slots", Default: 1000,
	Check:      AtLeast[int32](0),
	Importance: Medium,
	Doc:        "Fetch sessions that the broker remembers (KIP-227).",
})

var MaxRequestPartitionSizeLimit = define(areaNetwork, Key[int32]{
	Name: "max.request.partition.size.limit", Default: 2000,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Most partitions in one answer to DescribeTopicPartitions.",
})

var MessageMaxBytes = define(areaNetwork, Key[int32]{
	Name: "message.max.bytes", Default: 1_048_588,
	Check:  AtLeast[int32](0),
	Update: ClusterWide, Importance: High, Topic: "max.message.bytes",
	Doc: "Largest record batch that a topic takes, compressed, in bytes.",
})

var NumIoThreads = define(areaNetwork, Key[int32]{
	Name: "num.io.threads", Default: 8,
	Check:  AtLeast[int32](1),
	Update: ClusterWide, Importance: High, Mark: Accept,
	Doc: "Request handler threads in Kafka; each connection has its own goroutine here, so the number has no effect.",
})

var NumNetworkThreads = define(areaNetwork, Key[int32]{
	Name: "num.network.threads", Default: 3,
	Check:  AtLeast[int32](1),
	Update: ClusterWide, Importance: High, Mark: Accept,
	Doc: "Network threads in Kafka; each connection has its own goroutine here, so the number has no effect.",
})

var QueuedMaxRequestBytes = define(areaNetwork, Key[int64]{
	Name: "queued.max.request.bytes", Default: -1,
	Importance: Medium,
	Doc:        "Bytes of requests being read or handled before the broker stops reading from clients; -1 means a share of the memory limit.",
})

var QueuedMaxRequests = define(areaNetwork, Key[int32]{
	Name: "queued.max.requests", Default: 500,
	Check:      AtLeast[int32](1),
	Importance: High, Mark: Accept,
	Doc: "Requests queued for handlers in Kafka; here a request is handled where it is read, and nothing queues.",
})

var RequestTimeoutMs = define(areaNetwork, Key[int32]{
	Name: "request.timeout.ms", Default: 30_000,
	Importance: High,
	Doc:        "Time that the broker waits for answers to its own requests, in milliseconds.",
})

var SocketConnectionSetupTimeoutMaxMs = define(areaNetwork, Key[int64]{
	Name: "socket.connection.setup.timeout.max.ms", Default: 30_000,
	Importance: Medium, Mark: Accept,
	Doc: "In Kafka the longest time to wait for a connection to another broker after repeated failures, in milliseconds; here each attempt has socket.connection.setup.timeout.ms, so it has no effect.",
})

var SocketConnectionSetupTimeoutMs = define(areaNetwork, Key[int64]{
	Name: "socket.connection.setup.timeout.ms", Default: 10_000,
	Importance: Medium,
	Doc:        "Time to wait for a connection to another broker at the first try, in milliseconds.",
})

var SocketListenBacklogSize = define(areaNetwork, Key[int32]{
	Name: "socket.listen.backlog.size", Default: 50,
	Check:      AtLeast[int32](1),
	Importance: Medium,
	Doc:        "Connections that may wait to be accepted on each listener.",
})

var SocketReceiveBufferBytes = define(areaNetwork, Key[int32]{
	Name: "socket.receive.buffer.bytes", Default: 100 << 10,
	Importance: High,
	Doc:        "Receive buffer of client connections (SO_RCVBUF), in bytes; -1 leaves it to the operating system.",
})

var SocketRequestMaxBytes = define(areaNetwork, Key[int32]{
	Name: "socket.request.max.bytes", Default: 100 << 20,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "Largest request in bytes; a larger one closes the connection.",
})

var SocketSendBufferBytes = define(areaNetwork, Key[int32]{
	Name: "socket.send.buffer.bytes", Default: 100 << 10,
	Importance: High,
	Doc:        "Send buffer of client connections (SO_SNDBUF), in bytes; -1 leaves it to the operating system.",
})
