package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Security protocols of listeners.
const (
	Plaintext     = "PLAINTEXT"
	SSL           = "SSL"
	SASLPlaintext = "SASL_PLAINTEXT"
	SASLSSL       = "SASL_SSL"
)

var securityProtocols = []string{Plaintext, SSL, SASLPlaintext, SASLSSL}

// servedProtocols are those that the broker can open a listener for today.
var servedProtocols = []string{Plaintext}

// Listener is one entry of listeners or advertised.listeners.
type Listener struct {
	Name     string // upper case
	Host     string // without brackets; empty: all interfaces, advertised as the host's own name
	Port     int32  // 0: any free one
	Protocol string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
}

func (l Listener) String() string {
	host := l.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return l.Name + "://" + host + ":" + strconv.Itoa(int(l.Port))
}

// Address is host:port as package net wants it.
func (l Listener) Address() string {
	host := l.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(l.Port))
}

// Listeners are the addresses to listen on.
func (s *Snapshot) Listeners() []Listener { return slices.Clone(s.listeners) }

// Advertised are the addresses to tell clients: advertised.listeners, or listeners if that is not set. A host may still be empty and
// a port 0 in the second case: put in what the listener got.
func (s *Snapshot) Advertised() []Listener { return slices.Clone(s.advertised) }

// InterBroker is the advertised listener that brokers use among themselves.
func (s *Snapshot) InterBroker() Listener { return s.interBroker }

// endpoint is the syntax of EndPoint.fromString.
var endpoint = regexp.MustCompile(`^(.*)://\[?([0-9a-zA-Z\-%._:]*)\]?:(-?[0-9]+)$`)

// parseListeners reads a comma list of NAME://host:port; the texts of its errors are Kafka's (CoreUtils.listenerListToEndPoints).
func parseListeners(key, list string, protocols map[string]string, uniquePorts bool) ([]Listener, error) {
	fail := func(format string, args ...any) error {
		return &ruleError{keys: []string{key}, text: fmt.Sprintf(format, args...)}
	}
	var all []Listener
	for _, item := range splitList(list) {
		if item == "" {
			continue
		}
		m := endpoint.FindStringSubmatch(item)
		if m == nil {
			return nil, fail("Error creating broker listeners from '%s': Unable to parse %s to a broker endpoint", list, item)
		}
		l := Listener{Name: strings.ToUpper(m[1]), Host: m[2]}
		port, err := strconv.ParseInt(m[3], 10, 32)
		if err != nil || port < -1 || port > 65535 {
			return nil, fail("Error creating broker listeners from '%s': port %s of %s is not between 0 and 65535", list, m[3], item)
		}
		l.Port = int32(port)
		if l.Protocol = protocols[l.Name]; l.Protocol == "" {
			return nil, fail("Error creating broker listeners from '%s': No security protocol defined for listener %s", list, l.Name)
		}
		if slices.ContainsFunc(all, func(o Listener) bool { return o.Name == l.Name }) {
			return nil, fail("Each listener must have a different name, %s: %s", key, list)
		}
		all = append(all, l)
	}
	if uniquePorts {
		if err := checkPorts(all); err != "" {
			return nil, fail("%s, %s: %s", err, key, list)
		}
	}
	return all, nil
}

// checkPorts allows one port at two listeners only if one is an IPv4 and the other an IPv6 address (KIP-797).
func checkPorts(all []Listener) string {
	byPort := map[int32][]Listener{}
	for _, l := range all {
		if l.Port > 0 {
			byPort[l.Port] = append(byPort[l.Port], l)
		}
	}
	for _, same := range byPort {
		if len(same) == 1 {
			continue
		}
		v4, v6 := 0, 0
		for _, l := range same {
			if a, err := netip.ParseAddr(l.Host); err == nil && a.Is4() {
				v4++
			} else if err == nil {
				v6++
			}
		}
		if len(same) != 2 || v4 != 1 || v6 != 1 {
			return "Each listener must have a different port unless exactly one listener has an IPv4 address and the other IPv6 address"
		}
	}
	return ""
}

// parseProtocolMap reads listener.security.protocol.map.
func parseProtocolMap(list string) (map[string]string, error) {
	const key = "listener.security.protocol.map"
	m := map[string]string{}
	for _, item := range splitList(list) {
		if item == "" {
			continue
		}
		i := strings.LastIndexByte(item, ':')
		if i < 0 {
			return nil, &ruleError{keys: []string{key}, text: fmt.Sprintf("Error parsing configuration property '%s': '%s' is not NAME:PROTOCOL", key, item)}
		}
		name, protocol := strings.ToUpper(strings.TrimSpace(item[:i])), strings.TrimSpace(item[i+1:])
		if !slices.Contains(securityProtocols, protocol) {
			return nil, &ruleError{keys: []string{key}, text: fmt.Sprintf("Invalid value %s for configuration %s: String must be one of: %s",
				protocol, key, strings.Join(securityProtocols, ", "))}
		}
		m[name] = protocol
	}
	return m, nil
}

// parseCounts reads host:count pairs (max.connections.per.ip.overrides).
func parseCounts(key, list string) (map[string]int, error) {
	m := map[string]int{}
	for _, item := range splitList(list) {
		if item == "" {
			continue
		}
		i := strings.LastIndexByte(item, ':')
		n, err := -1, error(nil)
		if i > 0 {
			n, err = strconv.Atoi(strings.TrimSpace(item[i+1:]))
		}
		if i <= 0 || err != nil || n < 0 {
			return nil, &ruleError{keys: []string{key}, text: fmt.Sprintf("Error parsing configuration property '%s': '%s' is not host:count", key, item)}
		}
		m[strings.TrimSpace(item[:i])] = n
	}
	return m, nil
}

// resolveListeners fills listeners, advertised and interBroker (KafkaConfig.listeners, effectiveAdvertisedListeners,
// getInterBrokerListenerNameAndSecurityProtocol).
func (s *Snapshot) resolveListeners() []error {
	protocols, err := parseProtocolMap(Get(s, ListenerSecurityProtocolMap))
	if err != nil {
		return []error{err}
	}
	if s.listeners, err = parseListeners("listeners", Get(s, Listeners), protocols, true); err != nil {
		return []error{err}
	}
	if len(s.listeners) == 0 {
		return []error{&ruleError{keys: []string{"listeners"}, text: "listeners names no listener"}}
	}
	advertisedKey := "advertised.listeners"
	if list, ok := Lookup(s, AdvertisedListeners); ok {
		if s.advertised, err = parseListeners(advertisedKey, list, protocols, false); err != nil {
			return []error{err}
		}
		if len(s.advertised) == 0 {
			return []error{require(false, "There must be at least one advertised listener.", advertisedKey)}
		}
	} else {
		s.advertised, advertisedKey = s.listeners, "listeners"
	}

	var errs []error
	name, key := Get(s, InterBrokerListenerName), "inter.broker.listener.name"
	if name != "" && IsSet(s, SecurityInterBrokerProtocol) {
		errs = append(errs, &ruleError{keys: []string{key}, text: "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set."})
	}
	if name == "" {
		name, key = Get(s, SecurityInterBrokerProtocol), "security.inter.broker.protocol"
	}
	name = strings.ToUpper(name)
	if protocols[name] == "" {
		return append(errs, &ruleError{keys: []string{key}, text: fmt.Sprintf("Listener with name %s defined in %s not found in listener.security.protocol.map.", name, key)})
	}
	s.interBroker = Listener{Name: name, Protocol: protocols[name]}
	found := false
	for _, l := range s.advertised {
		if l.Name == name {
			s.interBroker, found = l, true
		}
		if l.Host == "0.0.0.0" {
			errs = append(errs, require(false, "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.", advertisedKey))
		}
		if !slices.ContainsFunc(s.listeners, func(o Listener) bool { return o.Name == l.Name }) {
			errs = append(errs, require(false, fmt.Sprintf("advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found %s. The valid options based on the current configuration are %s",
				listenerNames(s.advertised), listenerNames(s.listeners)), advertisedKey))
		}
	}
	if !found {
		errs = append(errs, require(false, fmt.Sprintf("inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are %s",
			listenerNames(s.advertised)), key))
	}
	for _, l := range s.listeners {
		if !slices.Contains(servedProtocols, l.Protocol) {
			errs = append(errs, &ruleError{keys: []string{"listeners"}, text: fmt.Sprintf("listener %s uses the security protocol %s, which is not served yet: only %s is",
				l.Name, l.Protocol, strings.Join(servedProtocols, ", "))})
		}
	}
	return errs
}

func listenerNames(all []Listener) string {
	names := make([]string, len(all))
	for i, l := range all {
		names[i] = l.Name
	}
	return strings.Join(names, ",")
}
