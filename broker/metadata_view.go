package broker

import "ottla/broker/metadata"

// metadataView is the cluster as replication sees it: brokers by their inter-broker endpoints.
type metadataView struct {
	cache    *metadata.Cache
	listener string
}

func (v metadataView) Contains(topic string, partition int32) bool {
	_, ok := v.cache.Load().Partition(topic, partition)
	return ok
}

func (v metadataView) ContainsID(id [16]byte) (topic string, ok bool) {
	t := v.cache.Load().IDs[id]
	if t == nil {
		return "", false
	}
	return t.Name, true
}

func (v metadataView) Alive(broker int32) bool { return v.cache.Load().Brokers[broker] != nil }

func (v metadataView) Endpoint(broker int32) (host string, port int32, rack string, ok bool) {
	s := v.cache.Load()
	e, ok := s.Endpoint(broker, v.listener)
	if ok {
		if r := s.Brokers[broker].Rack; r != nil {
			rack = *r
		}
	}
	return e.Host, e.Port, rack, ok
}
