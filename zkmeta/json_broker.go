package zkmeta

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// BrokerInfo is /brokers/ids/<id> (kafka.zk.BrokerIdZNode).
type BrokerInfo struct {
	ID        int32 // from the path
	Epoch     int64 // czxid of the node, the broker epoch; not part of the data
	Version   int32 // 5; 4 when inter.broker.protocol.version < 2.7; 1-3 are read only
	Endpoints []Endpoint
	Rack      string // "" is no rack
	JMXPort   int32  // -1 is none
	// Features are the supported features; Kafka 3.9 registers none.
	Features    map[string]FeatureRange
	TimestampMs int64
}

// Endpoint is one advertised listener.
type Endpoint struct {
	Listener string // name, case-sensitive
	Protocol string // PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
	Host     string
	Port     int32
}

func (e Endpoint) String() string {
	return e.Listener + "://" + net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// FeatureRange is the range of a feature's versions that a broker supports.
type FeatureRange struct{ Min, Max int16 }

// Endpoint finds the endpoint of a listener.
func (b *BrokerInfo) Endpoint(listener string) (Endpoint, bool) {
	for _, e := range b.Endpoints {
		if e.Listener == listener {
			return e, true
		}
	}
	return Endpoint{}, false
}

// Encode writes version 5, or 4 if b.Version is 4.
func (b *BrokerInfo) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		version := int64(5)
		if b.Version == 4 {
			version = 4
		}
		if version >= 5 {
			w.object("features", func() {
				for _, name := range sortedKeys(b.Features) {
					w.object(name, func() {
						w.int("min_version", int64(b.Features[name].Min))
						w.int("max_version", int64(b.Features[name].Max))
					})
				}
			})
		}
		w.object("listener_security_protocol_map", func() {
			for _, e := range b.Endpoints {
				w.string(e.Listener, e.Protocol)
			}
		})
		w.array("endpoints", len(b.Endpoints), func(i int) {
			w.b = appendJSONString(w.b, b.Endpoints[i].String())
		})
		if b.Rack != "" {
			w.string("rack", b.Rack)
		}
		w.int("jmx_port", int64(b.JMXPort))
		// For clients that know only PLAINTEXT.
		port, host := int64(-1), ""
		for _, e := range b.Endpoints {
			if e.Protocol == "PLAINTEXT" {
				port, host = int64(e.Port), e.Host
				break
			}
		}
		w.int("port", port)
		if port < 0 {
			w.key("host")
			w.b = append(w.b, "null"...)
		} else {
			w.string("host", host)
		}
		w.int("version", version)
		w.string("timestamp", strconv.FormatInt(b.TimestampMs, 10))
	})
}

// DecodeBroker reads versions 1 to 5. The caller sets Epoch from the node's Stat.
func DecodeBroker(id int32, data []byte) (BrokerInfo, error) {
	what := "broker registration " + strconv.Itoa(int(id))
	var j struct {
		Version   *int32            `json:"version"`
		Host      *string           `json:"host"`
		Port      *int32            `json:"port"`
		JMXPort   *int32            `json:"jmx_port"`
		Endpoints []string          `json:"endpoints"`
		Protocols map[string]string `json:"listener_security_protocol_map"`
		Rack      *string           `json:"rack"`
		Features  map[string]struct {
			Min int16 `json:"min_version"`
			Max int16 `json:"max_version"`
		} `json:"features"`
		Timestamp jsonInt64 `json:"timestamp"`
	}
	if err := decodeObject(what, data, &j); err != nil {
		return BrokerInfo{}, err
	}
	if j.Version == nil || *j.Version < 1 {
		return BrokerInfo{}, malformed(what, data, "no supported version")
	}
	b := BrokerInfo{ID: id, Version: *j.Version, JMXPort: -1, TimestampMs: j.Timestamp.N}
	if j.JMXPort != nil {
		b.JMXPort = *j.JMXPort
	}
	if j.Rack != nil {
		b.Rack = *j.Rack
	}
	if len(j.Features) > 0 {
		b.Features = make(map[string]FeatureRange, len(j.Features))
		for name, f := range j.Features {
			b.Features[name] = FeatureRange{f.Min, f.Max}
		}
	}
	if b.Version == 1 {
		if j.Host == nil || j.Port == nil {
			return BrokerInfo{}, malformed(what, data, "no host and port")
		}
		b.Endpoints = []Endpoint{{"PLAINTEXT", "PLAINTEXT", *j.Host, *j.Port}}
		return b, nil
	}
	if err := required(what, data, "endpoints", j.Endpoints != nil); err != nil {
		return BrokerInfo{}, err
	}
	for _, text := range j.Endpoints {
		e, err := parseEndpoint(text, j.Protocols)
		if err != nil {
			return BrokerInfo{}, malformed(what, data, err.Error())
		}
		b.Endpoints = append(b.Endpoints, e)
	}
	return b, nil
}

// parseEndpoint reads NAME://host:port; without a map the name is the security protocol.
func parseEndpoint(text string, protocols map[string]string) (Endpoint, error) {
	name, addr, ok := strings.Cut(text, "://")
	colon := strings.LastIndexByte(addr, ':')
	if !ok || name == "" || colon < 0 {
		return Endpoint{}, fmt.Errorf("endpoint %q is not NAME://host:port", text)
	}
	port, err := strconv.ParseInt(addr[colon+1:], 10, 32)
	if err != nil {
		return Endpoint{}, fmt.Errorf("endpoint %q: bad port", text)
	}
	host := addr[:colon]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	e := Endpoint{Listener: name, Protocol: name, Host: host, Port: int32(port)}
	if protocols != nil {
		if e.Protocol, ok = protocols[name]; !ok {
			return Endpoint{}, fmt.Errorf("endpoint %q: no security protocol for this listener", text)
		}
	}
	switch e.Protocol {
	case "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL":
		return e, nil
	}
	return Endpoint{}, fmt.Errorf("endpoint %q: unknown security protocol %q", text, e.Protocol)
}

// ControllerInfo is /controller.
type ControllerInfo struct {
	BrokerID    int32
	TimestampMs int64
	// KRaftControllerEpoch is -1 unless a KRaft controller has taken the cluster over (migration).
	KRaftControllerEpoch int32
}

func (c ControllerInfo) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		w.int("version", 2)
		w.int("brokerid", int64(c.BrokerID))
		w.string("timestamp", strconv.FormatInt(c.TimestampMs, 10))
		w.int("kraftControllerEpoch", int64(c.KRaftControllerEpoch))
	})
}

// DecodeController also reads version 1, which has no KRaft epoch.
func DecodeController(data []byte) (ControllerInfo, error) {
	var j struct {
		BrokerID  *int32    `json:"brokerid"`
		Timestamp jsonInt64 `json:"timestamp"`
		KRaft     *int32    `json:"kraftControllerEpoch"`
	}
	if err := decodeObject(Controller, data, &j); err != nil {
		return ControllerInfo{}, err
	}
	if err := required(Controller, data, "brokerid", j.BrokerID != nil); err != nil {
		return ControllerInfo{}, err
	}
	c := ControllerInfo{BrokerID: *j.BrokerID, TimestampMs: j.Timestamp.N, KRaftControllerEpoch: -1}
	if j.KRaft != nil {
		c.KRaftControllerEpoch = *j.KRaft
	}
	return c, nil
}

// EncodeControllerEpoch and DecodeControllerEpoch: /controller_epoch is decimal text.
func EncodeControllerEpoch(epoch int32) []byte { return strconv.AppendInt(nil, int64(epoch), 10) }

func DecodeControllerEpoch(data []byte) (int32, error) {
	n, err := decodeText(ControllerEpoch, data, 32)
	return int32(n), err
}

// ClusterIDNode is /cluster/id.
type ClusterIDNode struct{ ID string }

func (c ClusterIDNode) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		w.string("version", "1")
		w.string("id", c.ID)
	})
}

func DecodeClusterID(data []byte) (ClusterIDNode, error) {
	var j struct {
		ID *string `json:"id"`
	}
	if err := decodeObject(ClusterIDPath, data, &j); err != nil {
		return ClusterIDNode{}, err
	}
	if err := required(ClusterIDPath, data, "id", j.ID != nil && *j.ID != ""); err != nil {
		return ClusterIDNode{}, err
	}
	return ClusterIDNode{*j.ID}, nil
}

// ProducerIDBlock is /latest_producer_id_block: the last block of producer ids given to a broker.
type ProducerIDBlock struct {
	Broker     int32
	Start, End int64 // both inclusive
}

func (p ProducerIDBlock) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		w.int("version", 1)
		w.int("broker", int64(p.Broker))
		w.string("block_start", strconv.FormatInt(p.Start, 10))
		w.string("block_end", strconv.FormatInt(p.End, 10))
	})
}

func DecodeProducerIDBlock(data []byte) (ProducerIDBlock, error) {
	var j struct {
		Broker *int32    `json:"broker"`
		Start  jsonInt64 `json:"block_start"`
		End    jsonInt64 `json:"block_end"`
	}
	if err := decodeObject(LatestProducerIDBlock, data, &j); err != nil {
		return ProducerIDBlock{}, err
	}
	if j.Broker == nil || !j.Start.Set || !j.End.Set || j.Start.N < 0 || j.End.N < j.Start.N {
		return ProducerIDBlock{}, malformed(LatestProducerIDBlock, data, "no block of ids")
	}
	return ProducerIDBlock{*j.Broker, j.Start.N, j.End.N}, nil
}

// Features is /feature: the finalized features of the cluster (KIP-584). The broker epoch of ApiVersions'
// finalized features is the node's version.
type Features struct {
	Version int32 // 2; 1 when inter.broker.protocol.version < 3.3
	Enabled bool
	Levels  map[string]FeatureRange // version 2 has only Max
}

func (f Features) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		version := f.Version
		if version != 1 {
			version = 2
		}
		w.object("features", func() {
			for _, name := range sortedKeys(f.Levels) {
				if version == 2 {
					w.int(name, int64(f.Levels[name].Max))
					continue
				}
				w.object(name, func() {
					w.int("min_version_level", int64(f.Levels[name].Min))
					w.int("max_version_level", int64(f.Levels[name].Max))
				})
			}
		})
		w.int("version", int64(version))
		status := int64(0)
		if f.Enabled {
			status = 1
		}
		w.int("status", status)
	})
}

// DecodeFeatures reads versions 1 and 2.
func DecodeFeatures(data []byte) (Features, error) {
	var j struct {
		Version  *int32                  `json:"version"`
		Status   *int32                  `json:"status"`
		Features map[string]featureLevel `json:"features"`
	}
	if err := decodeObject(Feature, data, &j); err != nil {
		return Features{}, err
	}
	switch {
	case j.Version == nil || *j.Version < 1:
		return Features{}, malformed(Feature, data, "no supported version")
	case j.Status == nil || *j.Status < 0 || *j.Status > 1:
		return Features{}, malformed(Feature, data, "no valid status")
	case j.Features == nil:
		return Features{}, malformed(Feature, data, `no "features"`)
	}
	f := Features{Version: *j.Version, Enabled: *j.Status == 1}
	if len(j.Features) > 0 {
		f.Levels = make(map[string]FeatureRange, len(j.Features))
		for name, l := range j.Features {
			f.Levels[name] = FeatureRange(l)
		}
	}
	return f, nil
}
