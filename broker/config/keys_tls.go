package config

// TLS of listeners and among brokers.

var SslAllowDnChanges = define(areaTLS, Key[bool]{
	Name: "ssl.allow.dn.changes",
	Mark: Later,
	Doc:  "Lets a dynamically replaced certificate carry another name; TLS is not served yet.",
})

var SslAllowSanChanges = define(areaTLS, Key[bool]{
	Name: "ssl.allow.san.changes",
	Mark: Later,
	Doc:  "Lets a dynamically replaced certificate drop alternative names; TLS is not served yet.",
})

var SslCipherSuites = define(areaTLS, Key[[]string]{
	Name:   "ssl.cipher.suites",
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Cipher suites of TLS 1.2, empty for all safe ones; TLS is not served yet.",
})

var SslClientAuth = define(areaTLS, Key[string]{
	Name: "ssl.client.auth", Default: "none",
	Check:  OneOf("required", "requested", "none"),
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Whether clients must, may or need not show a certificate; TLS is not served yet.",
})

var SslEnabledProtocols = define(areaTLS, Key[[]string]{
	Name: "ssl.enabled.protocols", Default: []string{"TLSv1.2", "TLSv1.3"},
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "TLS versions that are allowed; TLS is not served yet.",
})

var SslEndpointIdentificationAlgorithm = define(areaTLS, Key[string]{
	Name: "ssl.endpoint.identification.algorithm", Default: "https",
	Update: PerBroker, Mark: Accept,
	Doc: "https compares the host names of other brokers with their certificates, empty does not; TLS is not served yet.",
})

var SslEngineFactoryClass = define(areaTLS, Key[string]{
	Name: "ssl.engine.factory.class", Class: true, Null: true,
	Check:  KnownClass(),
	Update: PerBroker, Mark: Later,
	Doc: "Java class that makes TLS engines; Java plug-ins cannot be loaded.",
})

var SslKeyPassword = define(areaTLS, Key[Password]{
	Name: "ssl.key.password", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Password of the private key; TLS is not served yet.",
})

var SslKeymanagerAlgorithm = define(areaTLS, Key[string]{
	Name: "ssl.keymanager.algorithm", Default: "SunX509",
	Update: PerBroker, Importance: Medium, Mark: Accept,
	Doc: "Java name of a key manager; without effect here.",
})

var SslKeystoreCertificateChain = define(areaTLS, Key[Password]{
	Name: "ssl.keystore.certificate.chain", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Certificate chain in PEM, given in place of a keystore file; TLS is not served yet.",
})

var SslKeystoreKey = define(areaTLS, Key[Password]{
	Name: "ssl.keystore.key", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Private key in PEM, given in place of a keystore file; TLS is not served yet.",
})

var SslKeystoreLocation = define(areaTLS, Key[string]{
	Name: "ssl.keystore.location", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "File with the broker's private key and certificate; TLS is not served yet.",
})

var SslKeystorePassword = define(areaTLS, Key[Password]{
	Name: "ssl.keystore.password", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Password of the keystore file; TLS is not served yet.",
})

var SslKeystoreType = define(areaTLS, Key[string]{
	Name: "ssl.keystore.type", Default: "JKS",
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Format of the keystore: JKS, PKCS12 or PEM; TLS is not served yet.",
})

var SslPrincipalMappingRules = define(areaTLS, Key[string]{
	Name: "ssl.principal.mapping.rules", Default: "DEFAULT",
	Mark: Later,
	Doc:  "Rules that turn a certificate's subject into a user name; TLS is not served yet.",
})

var SslProtocol = define(areaTLS, Key[string]{
	Name: "ssl.protocol", Default: "TLSv1.3",
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Newest TLS version that is used; TLS is not served yet.",
})

var SslProvider = define(areaTLS, Key[string]{
	Name: "ssl.provider", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Accept,
	Doc: "Java security provider for TLS; without effect here.",
})

var SslSecureRandomImplementation = define(areaTLS, Key[string]{
	Name: "ssl.secure.random.implementation", Null: true,
	Update: PerBroker, Mark: Accept,
	Doc: "Java name of a random number generator; the operating system's is used.",
})

var SslTrustmanagerAlgorithm = define(areaTLS, Key[string]{
	Name: "ssl.trustmanager.algorithm", Default: "PKIX",
	Update: PerBroker, Importance: Medium, Mark: Accept,
	Doc: "Java name of a trust manager; without effect here.",
})

var SslTruststoreCertificates = define(areaTLS, Key[Password]{
	Name: "ssl.truststore.certificates", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Trusted certificates in PEM, given in place of a truststore file; TLS is not served yet.",
})

var SslTruststoreLocation = define(areaTLS, Key[string]{
	Name: "ssl.truststore.location", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "File with the certificates that are trusted; TLS is not served yet.",
})

var SslTruststorePassword = define(areaTLS, Key[Password]{
	Name: "ssl.truststore.password", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Password of the truststore file; TLS is not served yet.",
})

var SslTruststoreType = define(areaTLS, Key[string]{
	Name: "ssl.truststore.type", Default: "JKS",
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Format of the truststore: JKS, PKCS12 or PEM; TLS is not served yet.",
})
