package config

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Error is a refusal with the text that Kafka sends to clients. Its code is found with errors.As(err, **kerr.Error).
type Error struct {
	Code *kerr.Error
	Text string
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Code }

// Message is the text for a response's error_message.
func (e *Error) Message() string { return e.Text }

func refuse(code *kerr.Error, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// ValueError is a value that a key cannot hold. Error gives Kafka's text (org.apache.kafka.common.config.ConfigException).
type ValueError struct {
	Name   string
	Value  string
	Reason string
	Words  string // what is allowed
	Secret bool   // the value must not be shown
}

func (e *ValueError) Error() string {
	return "Invalid value " + e.shown() + " for configuration " + e.Name + ": " + e.Reason
}

// Message is the text for a response's error_message.
func (e *ValueError) Message() string { return e.Error() }

func (e *ValueError) Unwrap() error { return kerr.InvalidConfig }

func (e *ValueError) shown() string {
	if e.Secret {
		return Mask
	}
	return e.Value
}

// ruleError is a broken rule between keys, or a value that a key's own syntax refuses. Kafka prefixes some of these texts with
// "requirement failed: " (Scala's require) when a client gets to see them.
type ruleError struct {
	keys    []string // the keys concerned, the first one is named as the place
	text    string
	require bool
}

func (e *ruleError) Error() string {
	if e.require {
		return "requirement failed: " + e.text
	}
	return e.text
}

func (e *ruleError) Message() string { return e.Error() }
func (e *ruleError) Unwrap() error   { return kerr.InvalidConfig }

func require(ok bool, text string, keys ...string) error {
	if ok {
		return nil
	}
	return &ruleError{keys: keys, text: text, require: true}
}

// Problem is something wrong with the configuration that the broker was started with.
type Problem struct {
	Key   string
	Where string // file:line, environment variable or --set; empty for a default
	Text  string
}

func (p *Problem) Error() string {
	if p.Where == "" {
		return p.Text
	}
	return p.Where + ": " + p.Text
}

func (p *Problem) Unwrap() error { return kerr.InvalidConfig }

// Warning is something in the configuration that the operator should look at; the broker starts nevertheless.
type Warning struct {
	Key   string
	Where string
	Text  string
}

func (w Warning) String() string {
	if w.Where == "" {
		return w.Text
	}
	return w.Where + ": " + w.Text
}

// javaSet writes names as Scala prints a small set, which is what Kafka's messages carry.
func javaSet(names []string) string { return "Set(" + strings.Join(names, ", ") + ")" }
