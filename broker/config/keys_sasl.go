package config

// SASL of listeners and among brokers.

var SaslClientCallbackHandlerClass = define(areaSASL, Key[string]{
	Name: "sasl.client.callback.handler.class", Class: true, Null: true,
	Check:      KnownClass(),
	Importance: Medium, Mark: Later,
	Doc: "Java class that answers SASL questions where the broker is a client; Java plug-ins cannot be loaded.",
})

var SaslEnabledMechanisms = define(areaSASL, Key[[]string]{
	Name: "sasl.enabled.mechanisms", Default: []string{"GSSAPI"},
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "SASL mechanisms offered to clients; SASL is not served yet.",
})

var SaslJaasConfig = define(areaSASL, Key[Password]{
	Name: "sasl.jaas.config", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Login modules and credentials in JAAS syntax, per listener and mechanism; SASL is not served yet.",
})

var SaslKerberosKinitCmd = define(areaSASL, Key[string]{
	Name: "sasl.kerberos.kinit.cmd", Default: "/usr/bin/kinit",
	Update: PerBroker, Importance: Medium, Mark: Accept,
	Doc: "Path of the kinit command; without effect, no such command is run here.",
})

var SaslKerberosMinTimeBeforeRelogin = define(areaSASL, Key[int64]{
	Name: "sasl.kerberos.min.time.before.relogin", Default: 60_000,
	Update: PerBroker, Importance: Medium, Mark: Accept,
	Doc: "Shortest time between two Kerberos logins, in milliseconds; without effect while SASL is not served.",
})

var SaslKerberosPrincipalToLocalRules = define(areaSASL, Key[[]string]{
	Name: "sasl.kerberos.principal.to.local.rules", Default: []string{"DEFAULT"},
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Rules that turn Kerberos names into user names; SASL is not served yet.",
})

var SaslKerberosServiceName = define(areaSASL, Key[string]{
	Name: "sasl.kerberos.service.name", Null: true,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Kerberos service name of the brokers; SASL is not served yet.",
})

var SaslKerberosTicketRenewJitter = define(areaSASL, Key[float64]{
	Name: "sasl.kerberos.ticket.renew.jitter", Default: 0.05,
	Update: PerBroker, Importance: Medium, Mark: Accept,
	Doc: "Random part of the time at which a Kerberos ticket is renewed; without effect while SASL is not served.",
})

var SaslKerberosTicketRenewWindowFactor = define(areaSASL, Key[float64]{
	Name: "sasl.kerberos.ticket.renew.window.factor", Default: 0.8,
	Update: PerBroker, Importance: Medium, Mark: Accept,
	Doc: "Share of a ticket's life after which it is renewed; without effect while SASL is not served.",
})

var SaslLoginCallbackHandlerClass = define(areaSASL, Key[string]{
	Name: "sasl.login.callback.handler.class", Class: true, Null: true,
	Check:      KnownClass(),
	Importance: Medium, Mark: Later,
	Doc: "Java class that answers the broker's own login questions; SASL is not served yet.",
})

var SaslLoginClass = define(areaSASL, Key[string]{
	Name: "sasl.login.class", Class: true, Null: true,
	Check:      KnownClass(),
	Importance: Medium, Mark: Later,
	Doc: "Java class that performs the broker's own login; Java plug-ins cannot be loaded.",
})

var SaslLoginConnectTimeoutMs = define(areaSASL, Key[int32]{
	Name: "sasl.login.connect.timeout.ms", Null: true,
	Mark: Later,
	Doc:  "Connection timeout towards an OAuth provider, in milliseconds; SASL is not served yet.",
})

var SaslLoginReadTimeoutMs = define(areaSASL, Key[int32]{
	Name: "sasl.login.read.timeout.ms", Null: true,
	Mark: Later,
	Doc:  "Read timeout towards an OAuth provider, in milliseconds; SASL is not served yet.",
})

var SaslLoginRefreshBufferSeconds = define(areaSASL, Key[int16]{
	Name: "sasl.login.refresh.buffer.seconds", Default: 300,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Time before a credential's end that its renewal keeps free, in seconds; SASL is not served yet.",
})

var SaslLoginRefreshMinPeriodSeconds = define(areaSASL, Key[int16]{
	Name: "sasl.login.refresh.min.period.seconds", Default: 60,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Shortest time between two renewals of a credential, in seconds; SASL is not served yet.",
})

var SaslLoginRefreshWindowFactor = define(areaSASL, Key[float64]{
	Name: "sasl.login.refresh.window.factor", Default: 0.8,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Share of a credential's life after which it is renewed; SASL is not served yet.",
})

var SaslLoginRefreshWindowJitter = define(areaSASL, Key[float64]{
	Name: "sasl.login.refresh.window.jitter", Default: 0.05,
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "Random part of the time at which a credential is renewed; SASL is not served yet.",
})

var SaslLoginRetryBackoffMaxMs = define(areaSASL, Key[int64]{
	Name: "sasl.login.retry.backoff.max.ms", Default: 10_000,
	Mark: Later,
	Doc:  "Longest pause between tries to reach an OAuth provider, in milliseconds; SASL is not served yet.",
})

var SaslLoginRetryBackoffMs = define(areaSASL, Key[int64]{
	Name: "sasl.login.retry.backoff.ms", Default: 100,
	Mark: Later,
	Doc:  "First pause between tries to reach an OAuth provider, in milliseconds; SASL is not served yet.",
})

var SaslMechanismControllerProtocol = define(areaSASL, Key[string]{
	Name: "sasl.mechanism.controller.protocol", Default: "GSSAPI",
	Importance: High, Mark: Accept,
	Doc: "SASL mechanism towards KRaft controllers; without effect here.",
})

var SaslMechanismInterBrokerProtocol = define(areaSASL, Key[string]{
	Name: "sasl.mechanism.inter.broker.protocol", Default: "GSSAPI",
	Update: PerBroker, Importance: Medium, Mark: Later,
	Doc: "SASL mechanism among brokers; SASL is not served yet.",
})

var SaslOauthbearerClockSkewSeconds = define(areaSASL, Key[int32]{
	Name: "sasl.oauthbearer.clock.skew.seconds", Default: 30,
	Mark: Later,
	Doc:  "Difference of clocks that is tolerated in OAuth tokens, in seconds; SASL is not served yet.",
})

var SaslOauthbearerExpectedAudience = define(areaSASL, Key[[]string]{
	Name: "sasl.oauthbearer.expected.audience", Null: true,
	Mark: Later,
	Doc:  "Audiences of which an OAuth token must name one; SASL is not served yet.",
})

var SaslOauthbearerExpectedIssuer = define(areaSASL, Key[string]{
	Name: "sasl.oauthbearer.expected.issuer", Null: true,
	Mark: Later,
	Doc:  "Issuer that an OAuth token must name; SASL is not served yet.",
})

var SaslOauthbearerJwksEndpointRefreshMs = define(areaSASL, Key[int64]{
	Name: "sasl.oauthbearer.jwks.endpoint.refresh.ms", Default: 3_600_000,
	Mark: Later,
	Doc:  "How often the OAuth provider's keys are read again, in milliseconds; SASL is not served yet.",
})

var SaslOauthbearerJwksEndpointRetryBackoffMaxMs = define(areaSASL, Key[int64]{
	Name: "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Default: 10_000,
	Mark: Later,
	Doc:  "Longest pause between tries to read the OAuth provider's keys, in milliseconds; SASL is not served yet.",
})

var SaslOauthbearerJwksEndpointRetryBackoffMs = define(areaSASL, Key[int64]{
	Name: "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Default: 100,
	Mark: Later,
	Doc:  "First pause between tries to read the OAuth provider's keys, in milliseconds; SASL is not served yet.",
})

var SaslOauthbearerJwksEndpointUrl = define(areaSASL, Key[string]{
	Name: "sasl.oauthbearer.jwks.endpoint.url", Null: true,
	Importance: Medium, Mark: Later,
	Doc: "Where the OAuth provider publishes its keys; SASL is not served yet.",
})

var SaslOauthbearerScopeClaimName = define(areaSASL, Key[string]{
	Name: "sasl.oauthbearer.scope.claim.name", Default: "scope",
	Mark: Later,
	Doc:  "Claim of an OAuth token that lists its scopes; SASL is not served yet.",
})

var SaslOauthbearerSubClaimName = define(areaSASL, Key[string]{
	Name: "sasl.oauthbearer.sub.claim.name", Default: "sub",
	Mark: Later,
	Doc:  "Claim of an OAuth token that names its principal; SASL is not served yet.",
})

var SaslOauthbearerTokenEndpointUrl = define(areaSASL, Key[string]{
	Name: "sasl.oauthbearer.token.endpoint.url", Null: true,
	Importance: Medium, Mark: Later,
	Doc: "Where the OAuth provider hands out tokens; SASL is not served yet.",
})

var SaslServerCallbackHandlerClass = define(areaSASL, Key[string]{
	Name: "sasl.server.callback.handler.class", Class: true, Null: true,
	Check:      KnownClass(),
	Importance: Medium, Mark: Later,
	Doc: "Java class that checks the credentials of clients; SASL is not served yet.",
})

var SaslServerMaxReceiveSize = define(areaSASL, Key[int32]{
	Name: "sasl.server.max.receive.size", Default: 512 << 10,
	Importance: Medium, Mark: Later,
	Doc: "Largest SASL message before a client is authenticated, in bytes; SASL is not served yet.",
})
