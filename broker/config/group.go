package config

import (
	"errors"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// entityGroup is the entity of configs of groups (KIP-848), which the metadata store keeps under /config/groups.
const entityGroup = "group"

var (
	groupSessionTimeoutMs = defineEntity(entityGroup, "consumer.session.timeout.ms", int32(45_000), false, AtLeast[int32](1), Serve,
		"Session timeout of the group's members under the consumer protocol, in milliseconds. Default: group.consumer.session.timeout.ms.")
	groupHeartbeatIntervalMs = defineEntity(entityGroup, "consumer.heartbeat.interval.ms", int32(5000), false, AtLeast[int32](1), Serve,
		"Heartbeat interval of the group's members under the consumer protocol, in milliseconds. Default: group.consumer.heartbeat.interval.ms.")
)

// GroupConfig is what a group has configured of its own; 0 is what it has not.
type GroupConfig struct {
	SessionTimeoutMs, HeartbeatIntervalMs int32
}

// ParseGroup reads a group's configs as the metadata store has them. What is unknown or malformed is left out, and returned in the error.
func ParseGroup(overrides map[string]string) (GroupConfig, error) {
	var c GroupConfig
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		d := entityKeys.get(name)
		if d == nil || d.Entity != entityGroup {
			errs = append(errs, refuse(kerr.InvalidConfig, "Unknown group config name: %s", name))
			continue
		}
		v, err := d.parse(overrides[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		switch d {
		case groupSessionTimeoutMs:
			c.SessionTimeoutMs = v.(int32)
		case groupHeartbeatIntervalMs:
			c.HeartbeatIntervalMs = v.(int32)
		}
	}
	return c, errors.Join(errs...)
}

// AlterGroup gives the configs of a group after incremental changes. current is not modified. Errors carry INVALID_CONFIG or
// INVALID_REQUEST and Kafka's texts.
func (s *Snapshot) AlterGroup(group string, current map[string]string, changes []Change) (map[string]string, error) {
	next, err := applyChanges(entityKeys, "Unknown group config name: ", current, changes)
	if err != nil {
		return nil, err
	}
	c, err := ParseGroup(next)
	if err == nil {
		err = s.checkGroup(c)
	}
	var refused *Error
	if err != nil && !errors.As(err, &refused) {
		err = refuse(kerr.InvalidConfig, "Invalid config value for resource ConfigResource(type=GROUP, name='%s'): %s", group, err)
	}
	return next, err
}

// ReplaceGroup gives the configs of a group that AlterConfigs leaves: those of the request and no others.
func (s *Snapshot) ReplaceGroup(group string, changes []Change) (map[string]string, error) {
	return s.AlterGroup(group, nil, asSets(changes))
}

// checkGroup compares with the broker's bounds (GroupConfig.validate).
func (s *Snapshot) checkGroup(c GroupConfig) error {
	session, heartbeat := s.groupValues(c)
	for _, r := range []struct {
		own         int32
		name        string
		lower       *Key[int32]
		upper       *Key[int32]
		lowest, top int32
	}{
		{c.HeartbeatIntervalMs, groupHeartbeatIntervalMs.Name, GroupConsumerMinHeartbeatIntervalMs, GroupConsumerMaxHeartbeatIntervalMs,
			Get(s, GroupConsumerMinHeartbeatIntervalMs), Get(s, GroupConsumerMaxHeartbeatIntervalMs)},
		{c.SessionTimeoutMs, groupSessionTimeoutMs.Name, GroupConsumerMinSessionTimeoutMs, GroupConsumerMaxSessionTimeoutMs,
			Get(s, GroupConsumerMinSessionTimeoutMs), Get(s, GroupConsumerMaxSessionTimeoutMs)},
	} {
		switch {
		case r.own == 0:
		case r.own < r.lowest:
			return refuse(kerr.InvalidConfig, "%s must be greater than or equal to %s", r.name, r.lower.Name)
		case r.own > r.top:
			return refuse(kerr.InvalidConfig, "%s must be less than or equal to %s", r.name, r.upper.Name)
		}
	}
	if session <= heartbeat {
		return refuse(kerr.InvalidConfig, "%s must be greater than %s", groupSessionTimeoutMs.Name, groupHeartbeatIntervalMs.Name)
	}
	return nil
}

// groupValues are the values in effect.
func (s *Snapshot) groupValues(c GroupConfig) (session, heartbeat int32) {
	session, heartbeat = Get(s, GroupConsumerSessionTimeoutMs), Get(s, GroupConsumerHeartbeatIntervalMs)
	if c.SessionTimeoutMs > 0 {
		session = c.SessionTimeoutMs
	}
	if c.HeartbeatIntervalMs > 0 {
		heartbeat = c.HeartbeatIntervalMs
	}
	return session, heartbeat
}

// DescribeGroup describes a group that has these configs of its own, sorted by name.
func (s *Snapshot) DescribeGroup(overrides map[string]string, names []string) []Entry {
	c, _ := ParseGroup(overrides) // what is malformed shows the value in effect
	session, heartbeat := s.groupValues(c)
	values := map[string]int32{groupSessionTimeoutMs.Name: session, groupHeartbeatIntervalMs.Name: heartbeat}
	entries := make([]Entry, 0, len(values))
	for _, name := range wanted(values, names) {
		d := entityKeys.get(name)
		e := Entry{Name: name, Value: ptr(format(values[name])), Type: d.Type, Doc: d.Doc}
		var synonyms []Synonym
		if _, ok := overrides[name]; ok {
			synonyms = []Synonym{{name, e.Value, SourceGroup}}
		}
		e.setSynonyms(append(synonyms, Synonym{name, ptr(d.Default), SourceDefault}))
		entries = append(entries, e)
	}
	return entries
}
