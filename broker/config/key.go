package config

import (
	"fmt"
	"strings"
)

// Type is the type of a key, numbered as in DescribeConfigs responses (KIP-569).
type Type int8

const (
	Unknown Type = iota // a key that is in no table
	Boolean
	String
	Int
	Short
	Long
	Double
	List
	Class
	PasswordType
)

var typeNames = [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}

func (t Type) String() string { return typeNames[t] }

// Mode says how a key may be changed while the broker runs (KIP-226).
type Mode int8

const (
	ReadOnly    Mode = iota // at start only
	PerBroker               // for one broker at a time
	ClusterWide             // for one broker or as the cluster's default
	PerTopic                // a topic config
	DynamicOnly             // never in a file: kept in the metadata store only
)

func (m Mode) String() string {
	return [...]string{"read-only", "per-broker", "cluster-wide", "topic", "dynamic-only"}[m]
}

// Importance is Kafka's rank of a key.
type Importance int8

const (
	Low Importance = iota
	Medium
	High
)

func (i Importance) String() string { return [...]string{"low", "medium", "high"}[i] }

// Mark says what this broker does with a key today.
type Mark int8

const (
	Serve  Mark = iota // has Kafka's effect
	Accept             // read, checked and reported, without effect; the doc says why
	Later              // only the default is accepted: another value refuses to start
)

func (m Mark) String() string {
	return [...]string{"served", "accepted, no effect", "not served yet"}[m]
}

// Area is the section of the reference page that a key appears in.
type Area string

const (
	areaOwn       Area = "Ottla"
	areaListeners Area = "Identity and listeners"
	areaNetwork   Area = "Network and requests"
	areaTopics    Area = "Topics and replication"
	areaLog       Area = "Log"
	areaGroups    Area = "Groups and offsets"
	areaTxn       Area = "Transactions"
	areaQuotas    Area = "Quotas and metrics"
	areaZooKeeper Area = "ZooKeeper"
	areaTLS       Area = "TLS"
	areaSASL      Area = "SASL"
	areaSecurity  Area = "Authorization, tokens and passwords"
	areaTiered    Area = "Tiered storage"
	areaKRaft     Area = "KRaft"
	areaTopic     Area = "Topic configs"
	areaDynamic   Area = "Dynamic-only configs"
)

var areas = []Area{areaListeners, areaNetwork, areaTopics, areaLog, areaGroups, areaTxn, areaQuotas, areaZooKeeper, areaTLS, areaSASL,
	areaSecurity, areaTiered, areaKRaft, areaOwn, areaTopic, areaDynamic}

// Password is a secret. It prints as a mask; Reveal gives the text.
type Password struct{ text string }

// Mask is what is shown in place of a secret (org.apache.kafka.common.config.types.Password).
const Mask = "[hidden]"

func (p Password) Reveal() string { return p.text }
func (p Password) String() string { return Mask }

// GoString keeps secrets out of %#v.
func (p Password) GoString() string { return Mask }

// MarshalText keeps secrets out of JSON and logs.
func (p Password) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// value is what a key may hold. int16, int32, int64, float64, bool, string, []string and Password stand for SHORT, INT, LONG,
// DOUBLE, BOOLEAN, STRING (or CLASS), LIST and PASSWORD.
type value interface {
	int16 | int32 | int64 | float64 | bool | string | []string | Password
}

// Key declares a broker key. Only define makes usable ones.
type Key[T value] struct {
	Name       string
	Class      bool // STRING that names a Java class
	Default    T
	Null       bool // without a default: unset unless configured (Kafka's default null)
	Check      Check[T]
	Update     Mode
	Importance Importance
	Topic      string // the topic key whose default this one (or a synonym of it) supplies
	Internal   bool   // not shown by DescribeConfigs unless set
	Mark       Mark
	Doc        string

	def *Def
}

// TopicKey declares a topic key. Only defineTopic makes usable ones.
type TopicKey[T value] struct {
	Name    string
	Default T
	Check   Check[T]
	// Broker lists the broker keys that supply the default, the first with a value wins. Units follow the names' endings.
	Broker     []string
	Importance Importance
	Mark       Mark
	Doc        string

	def *Def
}

// Def is the untyped description of one key, for tools and documentation.
type Def struct {
	Name       string
	Area       Area
	Type       Type
	Default    string // as DescribeConfigs shows it
	Null       bool
	Allowed    string // Kafka's short form of the valid values, empty: any
	Words      string // the same in words
	Mode       Mode
	Importance Importance
	Topic      string   // of a broker key
	Broker     []string // of a topic key
	Entity     string   // of a dynamic-only key: broker; user, client; ip
	Internal   bool
	Mark       Mark
	Doc        string

	index int
	dflt  any // nil: none
	check func(v any) (shown string, reason string)
}

// Sensitive says whether values must never be shown.
func (d *Def) Sensitive() bool { return d.Type == PasswordType }

// registry is one table of keys, in the order of declaration.
type registry struct {
	defs  []*Def
	names map[string]*Def // by lower-case name
}

func newRegistry() *registry { return &registry{names: make(map[string]*Def, 512)} }

func (r *registry) add(d *Def) *Def {
	low := strings.ToLower(d.Name)
	if r.names[low] != nil {
		panic("config: " + d.Name + " is declared twice")
	}
	d.index = len(r.defs)
	r.defs = append(r.defs, d)
	r.names[low] = d
	return d
}

// get finds a key by its exact name.
func (r *registry) get(name string) *Def {
	if d := r.fold(name); d != nil && d.Name == name {
		return d
	}
	return nil
}

// fold finds a key without regard to case.
func (r *registry) fold(name string) *Def {
	if d := r.names[name]; d != nil {
		return d
	}
	return r.names[strings.ToLower(name)]
}

var (
	brokerKeys = newRegistry() // server.properties, and the dynamic-only keys of brokers
	topicKeys  = newRegistry()
	entityKeys = newRegistry() // quotas and credentials of users, clients and addresses
)

func define[T value](area Area, k Key[T]) *Key[T] {
	d := newDef(k.Name, k.Default, k.Check)
	d.Area, d.Mode, d.Importance, d.Topic, d.Internal, d.Mark, d.Doc = area, k.Update, k.Importance, k.Topic, k.Internal, k.Mark, k.Doc
	if k.Class {
		d.Type = Class
	}
	if k.Null {
		d.Null, d.Default, d.dflt = true, "", nil
	}
	if k.Update == DynamicOnly {
		d.Entity = "broker"
	}
	k.def = brokerKeys.add(d)
	return &k
}

func defineTopic[T value](k TopicKey[T]) *TopicKey[T] {
	d := newDef(k.Name, k.Default, k.Check)
	d.Area, d.Mode, d.Importance, d.Broker, d.Mark, d.Doc = areaTopic, PerTopic, k.Importance, k.Broker, k.Mark, k.Doc
	k.def = topicKeys.add(d)
	return &k
}

// defineEntity declares a dynamic-only key of users, clients or addresses (KIP-13, KIP-124, KIP-546, KIP-554, KIP-599, KIP-612).
func defineEntity[T value](entity, name string, dflt T, null bool, check Check[T], mark Mark, doc string) *Def {
	d := newDef(name, dflt, check)
	d.Area, d.Mode, d.Importance, d.Entity, d.Mark, d.Doc = areaDynamic, DynamicOnly, Medium, entity, mark, doc
	if null {
		d.Null, d.Default, d.dflt = true, "", nil
	}
	return entityKeys.add(d)
}

func newDef[T value](name string, dflt T, check Check[T]) *Def {
	d := &Def{Name: name, Type: typeOf(dflt), dflt: dflt, Allowed: check.Allowed, Words: check.Words}
	if v, ok := any(dflt).([]string); ok && v == nil {
		d.dflt = []string{} // an empty list is a value
	}
	d.Default = format(d.dflt)
	if check.bad != nil {
		d.check = func(v any) (string, string) { return check.bad(name, v.(T)) }
	}
	return d
}

func typeOf(v any) Type {
	switch v.(type) {
	case bool:
		return Boolean
	case string:
		return String
	case int32:
		return Int
	case int16:
		return Short
	case int64:
		return Long
	case float64:
		return Double
	case []string:
		return List
	case Password:
		return PasswordType
	}
	panic(fmt.Sprintf("config: no type for %T", v))
}

// Defs lists all keys: broker keys, topic keys, then dynamic-only keys of other entities, each in the order of declaration.
func Defs() []*Def {
	all := make([]*Def, 0, len(brokerKeys.defs)+len(topicKeys.defs)+len(entityKeys.defs))
	all = append(all, brokerKeys.defs...)
	all = append(all, topicKeys.defs...)
	return append(all, entityKeys.defs...)
}
