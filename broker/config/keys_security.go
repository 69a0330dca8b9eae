package config

// Authorization, delegation tokens and stored passwords.

var AuthorizerClassName = define(areaSecurity, Key[string]{
	Name: "authorizer.class.name",
	Mark: Later,
	Doc:  "Java name of the authorizer; empty allows everything to everybody, and access control lists are not served yet.",
})

var DelegationTokenExpiryCheckIntervalMs = define(areaSecurity, Key[int64]{
	Name: "delegation.token.expiry.check.interval.ms", Default: 3_600_000,
	Check: AtLeast[int64](1),
	Mark:  Later,
	Doc:   "How often expired delegation tokens are removed, in milliseconds; delegation tokens are not served yet.",
})

var DelegationTokenExpiryTimeMs = define(areaSecurity, Key[int64]{
	Name: "delegation.token.expiry.time.ms", Default: 86_400_000,
	Check:      AtLeast[int64](1),
	Importance: Medium, Mark: Later,
	Doc: "Life of a delegation token without renewal, in milliseconds; delegation tokens are not served yet.",
})

var DelegationTokenMasterKey = define(areaSecurity, Key[Password]{
	Name: "delegation.token.master.key", Null: true,
	Importance: Medium, Mark: Later,
	Doc: "Old name of delegation.token.secret.key; delegation tokens are not served yet.",
})

var DelegationTokenMaxLifetimeMs = define(areaSecurity, Key[int64]{
	Name: "delegation.token.max.lifetime.ms", Default: 604_800_000,
	Check:      AtLeast[int64](1),
	Importance: Medium, Mark: Later,
	Doc: "Age after which a delegation token cannot be renewed, in milliseconds; delegation tokens are not served yet.",
})

var DelegationTokenSecretKey = define(areaSecurity, Key[Password]{
	Name: "delegation.token.secret.key", Null: true,
	Importance: Medium, Mark: Later,
	Doc: "Key that signs delegation tokens, equal on all brokers; delegation tokens are not served yet.",
})

var PasswordEncoderCipherAlgorithm = define(areaSecurity, Key[string]{
	Name: "password.encoder.cipher.algorithm", Default: "AES/CBC/PKCS5Padding",
	Mark: Later,
	Doc:  "Cipher for passwords stored in ZooKeeper; dynamic passwords are not served yet.",
})

var PasswordEncoderIterations = define(areaSecurity, Key[int32]{
	Name: "password.encoder.iterations", Default: 4096,
	Check: AtLeast[int32](1024),
	Mark:  Later,
	Doc:   "Key derivation rounds for passwords stored in ZooKeeper; dynamic passwords are not served yet.",
})

var PasswordEncoderKeyLength = define(areaSecurity, Key[int32]{
	Name: "password.encoder.key.length", Default: 128,
	Check: AtLeast[int32](8),
	Mark:  Later,
	Doc:   "Key length for passwords stored in ZooKeeper, in bits; dynamic passwords are not served yet.",
})

var PasswordEncoderKeyfactoryAlgorithm = define(areaSecurity, Key[string]{
	Name: "password.encoder.keyfactory.algorithm", Null: true,
	Mark: Later,
	Doc:  "Key derivation for passwords stored in ZooKeeper; dynamic passwords are not served yet.",
})

var PasswordEncoderOldSecret = define(areaSecurity, Key[Password]{
	Name: "password.encoder.old.secret", Null: true,
	Importance: Medium, Mark: Later,
	Doc: "Former secret of the passwords stored in ZooKeeper; dynamic passwords are not served yet.",
})

var PasswordEncoderSecret = define(areaSecurity, Key[Password]{
	Name: "password.encoder.secret", Null: true,
	Importance: Medium, Mark: Later,
	Doc: "Secret that encrypts the passwords stored in ZooKeeper; dynamic passwords are not served yet.",
})

var PrincipalBuilderClass = define(areaSecurity, Key[string]{
	Name: "principal.builder.class", Class: true, Default: "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
	Check:  KnownClass("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"),
	Update: PerBroker, Importance: Medium,
	Doc: "Java class that turns a connection into a principal; only Kafka's default is known here.",
})

var SecurityProviders = define(areaSecurity, Key[string]{
	Name: "security.providers", Null: true,
	Mark: Accept,
	Doc:  "Java security providers; there is no Java here, so they have no effect.",
})
