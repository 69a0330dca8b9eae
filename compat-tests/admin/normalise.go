package admin

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// environment holds what belongs to one broker only; its values are replaced by their names.
type environment struct {
	addr string // host:port
}

var (
	uuid        = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timestampMs = regexp.MustCompile(`\b1[6-9][0-9]{11}\b|\b2[0-9]{12}\b`)
	scalaList   = regexp.MustCompile(`\b(?:ArrayBuffer|Buffer|Set|List|Vector)\(([^()]*)\)`)
	pathLike    = regexp.MustCompile(`/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+`)
)

// plain turns an answer of kadm into what encoding/json can print: errors as text, unexported fields left out.
func (e environment) plain(v any) any { return e.value(reflect.ValueOf(v)) }

func (e environment) value(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	switch x := v.Interface().(type) {
	case error:
		return e.err(x)
	case kadm.TopicID:
		if x == (kadm.TopicID{}) {
			return "NONE"
		}
		return "ID"
	case kadm.GroupMemberMetadata:
		c, ok := x.AsConsumer()
		if !ok {
			return "not of a consumer"
		}
		return e.plain(struct {
			Version int16
			Topics  []string
		}{c.Version, c.Topics})
	case kadm.GroupMemberAssignment:
		c, ok := x.AsConsumer()
		if !ok {
			return "not of a consumer"
		}
		return e.plain(c.Topics)
	case fmt.Stringer:
		if v.Kind() != reflect.Struct && v.Kind() != reflect.Map && v.Kind() != reflect.Slice && v.Kind() != reflect.Pointer {
			return x.String()
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return e.value(v.Elem())
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || f.Name == "UnknownTags" {
				continue
			}
			switch f.Name {
			case "Port":
				m[f.Name] = "PORT"
			case "ProducerID":
				m[f.Name] = "PRODUCER"
			case "LastTimestamp":
				m[f.Name] = "TIME"
			default:
				m[f.Name] = e.value(v.Field(i))
			}
		}
		return m
	case reflect.Map:
		m := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			key := "ID" // one topic at most in any answer that is keyed by topic id
			if _, id := it.Key().Interface().(kadm.TopicID); !id {
				key = e.text(fmt.Sprint(it.Key().Interface()))
			}
			m[key] = e.value(it.Value())
		}
		return m
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.IsNil() {
			return nil
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Sprintf("%d bytes", v.Len())
		}
		l := make([]any, v.Len())
		for i := range l {
			l[i] = e.value(v.Index(i))
		}
		return l
	case reflect.String:
		return e.text(v.String())
	case reflect.Int64:
		return e.number(v.Int())
	default:
		return v.Interface()
	}
}

// number hides times: a difference in the milliseconds of two runs is none.
func (e environment) number(n int64) any {
	if timestampMs.MatchString(fmt.Sprint(n)) {
		return "TIME"
	}
	return n
}

func (e environment) text(s string) string {
	if s == "classic,consumer" { // group.coordinator.rebalance.protocols: Ottla serves KIP-848 groups, which Kafka 3.9 cannot with ZooKeeper
		return "classic"
	}
	s = strings.ReplaceAll(s, e.addr, "ADDR")
	if _, port, ok := strings.Cut(e.addr, ":"); ok {
		s = strings.ReplaceAll(s, port, "PORT")
	}
	s = uuid.ReplaceAllString(s, "UUID")
	s = timestampMs.ReplaceAllString(s, "TIME")
	s = scalaList.ReplaceAllString(s, "[$1]") // how Scala prints collections is not part of a text
	return pathLike.ReplaceAllString(s, "PATH")
}

// err names the Kafka error and the broker's message, if there is one.
func (e environment) err(err error) string {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return e.text(err.Error())
	}
	text := strings.TrimSuffix(strings.TrimSpace(err.Error()), ".")
	if text == strings.TrimSuffix(strings.TrimSpace(code.Error()), ".") {
		return code.Message
	}
	return code.Message + " | " + e.text(err.Error())
}
