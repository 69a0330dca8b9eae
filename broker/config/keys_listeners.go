package config

// Who the broker is and where it listens.

var AdvertisedListeners = define(areaListeners, Key[string]{
	Name: "advertised.listeners", Null: true,
	Update: PerBroker, Importance: High,
	Doc: "Addresses that clients and other brokers are told to connect to, as NAME://host:port with commas between; unset means those of listeners.",
})

var BrokerId = define(areaListeners, Key[int32]{
	Name: "broker.id", Default: -1,
	Importance: High,
	Doc:        "Identity of this broker in the cluster; -1 lets the cluster hand out an id above reserved.broker.max.id. It is kept in meta.properties, and a different one there is fatal.",
})

var BrokerIdGenerationEnable = define(areaListeners, Key[bool]{
	Name: "broker.id.generation.enable", Default: true,
	Importance: Medium,
	Doc:        "Lets the cluster hand out broker ids; a configured id must then not exceed reserved.broker.max.id.",
})

var BrokerRack = define(areaListeners, Key[string]{
	Name: "broker.rack", Null: true,
	Importance: Medium,
	Doc:        "Rack or zone of this broker, used to spread replicas and to let consumers read from a near one.",
})

var ControlPlaneListenerName = define(areaListeners, Key[string]{
	Name: "control.plane.listener.name", Null: true,
	Importance: High, Mark: Later,
	Doc: "Listener that is reserved for requests of the controller.",
})

var EarlyStartListeners = define(areaListeners, Key[string]{
	Name: "early.start.listeners", Null: true,
	Importance: High, Mark: Accept,
	Doc: "Listeners that open before others at the start of a KRaft broker; without effect here.",
})

var InterBrokerListenerName = define(areaListeners, Key[string]{
	Name: "inter.broker.listener.name", Null: true,
	Importance: Medium,
	Doc:        "Listener that brokers use among themselves; cannot be combined with security.inter.broker.protocol.",
})

var InterBrokerProtocolVersion = define(areaListeners, Key[string]{
	Name: "inter.broker.protocol.version", Default: "3.9-IV0",
	Check:      KnownVersion(),
	Importance: Medium, Mark: Accept,
	Doc: "Kafka release whose requests brokers use among themselves. Checked and reported; brokers negotiate the versions of their requests instead.",
})

var ListenerSecurityProtocolMap = define(areaListeners, Key[string]{
	Name: "listener.security.protocol.map", Default: "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
	Update: PerBroker,
	Doc:    "Security protocol of each listener name, as NAME:PROTOCOL with commas between.",
})

var Listeners = define(areaListeners, Key[string]{
	Name: "listeners", Default: "PLAINTEXT://:9092",
	Update: PerBroker, Importance: High,
	Doc: "Addresses that the broker listens on, as NAME://host:port with commas between; an empty host is all interfaces, port 0 any free port.",
})

var NodeId = define(areaListeners, Key[int32]{
	Name: "node.id", Default: -1,
	Importance: High,
	Doc:        "The same as broker.id under its KRaft name: whichever is set gives the other, and both set must agree.",
})

var ReservedBrokerMaxId = define(areaListeners, Key[int32]{
	Name: "reserved.broker.max.id", Default: 1000,
	Check:      AtLeast[int32](0),
	Importance: Medium,
	Doc:        "Highest broker id that may be configured by hand while ids are generated.",
})

var SecurityInterBrokerProtocol = define(areaListeners, Key[string]{
	Name: "security.inter.broker.protocol", Default: "PLAINTEXT",
	Check:      OneOf("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
	Importance: Medium,
	Doc:        "Security protocol among brokers, for a configuration without inter.broker.listener.name.",
})
