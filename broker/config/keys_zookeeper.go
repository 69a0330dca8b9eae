package config

// The connection to ZooKeeper.

var ZookeeperClientCnxnSocket = define(areaZooKeeper, Key[string]{
	Name: "zookeeper.clientCnxnSocket", Null: true,
	Importance: Medium, Mark: Accept,
	Doc: "Java class of the ZooKeeper client's socket; without effect, since the client here is not Java.",
})

var ZookeeperConnect = define(areaZooKeeper, Key[string]{
	Name: "zookeeper.connect", Null: true,
	Importance: High,
	Doc:        "ZooKeeper servers as host:port with commas between, and an optional chroot after the last one (/kafka); without it the broker runs standalone on its embedded metadata store.",
})

var ZookeeperConnectionTimeoutMs = define(areaZooKeeper, Key[int32]{
	Name: "zookeeper.connection.timeout.ms", Null: true,
	Importance: High,
	Doc:        "Longest wait for the first connection to ZooKeeper, in milliseconds; unset means the session timeout.",
})

var ZookeeperMaxInFlightRequests = define(areaZooKeeper, Key[int32]{
	Name: "zookeeper.max.in.flight.requests", Default: 10,
	Check:      AtLeast[int32](1),
	Importance: High,
	Doc:        "Requests that may wait for ZooKeeper's answer at once.",
})

var ZookeeperMetadataMigrationEnable = define(areaZooKeeper, Key[bool]{
	Name:       "zookeeper.metadata.migration.enable",
	Importance: High, Mark: Later,
	Doc: "Takes part in a migration to KRaft; this broker has no KRaft mode.",
})

var ZookeeperMetadataMigrationMinBatchSize = define(areaZooKeeper, Key[int32]{
	Name: "zookeeper.metadata.migration.min.batch.size", Default: 200,
	Check:      AtLeast[int32](1),
	Importance: Medium, Internal: true, Mark: Accept,
	Doc: "Records per batch while a KRaft controller copies ZooKeeper's content; without effect here.",
})

var ZookeeperSessionTimeoutMs = define(areaZooKeeper, Key[int32]{
	Name: "zookeeper.session.timeout.ms", Default: 18_000,
	Importance: High,
	Doc:        "Session timeout asked of ZooKeeper, in milliseconds; when the session expires, the broker's registration vanishes.",
})

var ZookeeperSetAcl = define(areaZooKeeper, Key[bool]{
	Name:       "zookeeper.set.acl",
	Importance: High,
	Doc:        "Creates znodes that only the broker's own ZooKeeper identity may change.",
})

var ZookeeperSslCipherSuites = define(areaZooKeeper, Key[[]string]{
	Name: "zookeeper.ssl.cipher.suites", Null: true,
	Doc: "Cipher suites for TLS to ZooKeeper.",
})

var ZookeeperSslClientEnable = define(areaZooKeeper, Key[bool]{
	Name:       "zookeeper.ssl.client.enable",
	Importance: Medium,
	Doc:        "Connects to ZooKeeper with TLS.",
})

var ZookeeperSslCrlEnable = define(areaZooKeeper, Key[bool]{
	Name: "zookeeper.ssl.crl.enable",
	Mark: Later,
	Doc:  "Checks ZooKeeper's certificate against revocation lists.",
})

var ZookeeperSslEnabledProtocols = define(areaZooKeeper, Key[[]string]{
	Name: "zookeeper.ssl.enabled.protocols", Null: true,
	Doc: "TLS versions allowed towards ZooKeeper; unset means the one of zookeeper.ssl.protocol.",
})

var ZookeeperSslEndpointIdentificationAlgorithm = define(areaZooKeeper, Key[string]{
	Name: "zookeeper.ssl.endpoint.identification.algorithm", Default: "HTTPS",
	Doc: "HTTPS compares ZooKeeper's host name with its certificate; empty switches the comparison off.",
})

var ZookeeperSslKeystoreLocation = define(areaZooKeeper, Key[string]{
	Name: "zookeeper.ssl.keystore.location", Null: true,
	Importance: Medium,
	Doc:        "File with the client certificate for TLS to ZooKeeper.",
})

var ZookeeperSslKeystorePassword = define(areaZooKeeper, Key[Password]{
	Name: "zookeeper.ssl.keystore.password", Null: true,
	Importance: Medium,
	Doc:        "Password of the ZooKeeper keystore.",
})

var ZookeeperSslKeystoreType = define(areaZooKeeper, Key[string]{
	Name: "zookeeper.ssl.keystore.type", Null: true,
	Importance: Medium,
	Doc:        "Format of the ZooKeeper keystore; the file itself is looked at, as Java does. BCFKS is not served.",
})

var ZookeeperSslOcspEnable = define(areaZooKeeper, Key[bool]{
	Name: "zookeeper.ssl.ocsp.enable",
	Mark: Later,
	Doc:  "Checks ZooKeeper's certificate through OCSP.",
})

var ZookeeperSslProtocol = define(areaZooKeeper, Key[string]{
	Name: "zookeeper.ssl.protocol", Default: "TLSv1.2",
	Doc: "TLS version for ZooKeeper.",
})

var ZookeeperSslTruststoreLocation = define(areaZooKeeper, Key[string]{
	Name: "zookeeper.ssl.truststore.location", Null: true,
	Importance: Medium,
	Doc:        "File with the certificates that vouch for ZooKeeper.",
})

var ZookeeperSslTruststorePassword = define(areaZooKeeper, Key[Password]{
	Name: "zookeeper.ssl.truststore.password", Null: true,
	Importance: Medium,
	Doc:        "Password of the ZooKeeper truststore.",
})

var ZookeeperSslTruststoreType = define(areaZooKeeper, Key[string]{
	Name: "zookeeper.ssl.truststore.type", Null: true,
	Importance: Medium,
	Doc:        "Format of the ZooKeeper truststore; the file itself is looked at, as Java does. BCFKS is not served.",
})
