package behaviour

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// normaliser turns answers into trees of maps, lists and scalars that are the same in each run. Fields with their default are
// left out. Ids are numbered in the order in which a case sees them, so that it stays visible where one appears again.
type normaliser struct {
	run  *run
	seen map[string]map[string]string // kind of id → value → name
}

// name is what stands for a value of a kind.
func (n *normaliser) name(kind, value string) string {
	if n.seen == nil {
		n.seen = make(map[string]map[string]string)
	}
	names := n.seen[kind]
	if names == nil {
		names = make(map[string]string)
		n.seen[kind] = names
	}
	name, ok := names[value]
	if !ok {
		name = fmt.Sprintf("<%s %d>", kind, len(names)+1)
		names[value] = name
	}
	return name
}

func (n *normaliser) response(resp kmsg.Response) any {
	return n.value(reflect.ValueOf(resp).Elem(), "", "")
}

func (n *normaliser) value(v reflect.Value, owner, field string) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return n.value(v.Elem(), owner, field)
	case reflect.Struct:
		return n.object(v)
	case reflect.Array:
		id := v.Interface().([16]byte)
		if id == [16]byte{} {
			return "zero"
		}
		return n.name("uuid", string(id[:]))
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return n.bytes(v.Bytes(), field)
		}
		if field == "Members" {
			n.sortMembers(v)
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = n.value(v.Index(i), owner, field)
		}
		return list
	case reflect.String:
		return n.text(v.String())
	case reflect.Bool:
		return v.Bool()
	}
	return n.number(v.Int(), owner, field)
}

func (n *normaliser) object(v reflect.Value) any {
	def := reflect.New(v.Type())
	if d, ok := def.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	m := make(map[string]any)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Name == "Version":
			continue
		case f.Name == "UnknownTags":
			tags := v.Field(i).Interface().(kmsg.Tags)
			if tags.Len() > 0 {
				m["UnknownTags"] = fmt.Sprint(tags)
			}
			continue
		case reflect.DeepEqual(v.Field(i).Interface(), def.Elem().Field(i).Interface()):
			continue
		}
		m[f.Name] = n.value(v.Field(i), v.Type().Name(), f.Name)
	}
	return m
}

// sortMembers orders the members of a group by when the case saw their ids first: Kafka has them in a map.
func (n *normaliser) sortMembers(v reflect.Value) {
	id := func(x reflect.Value) string { return n.text(x.FieldByName("MemberID").String()) }
	for i := 1; i < v.Len(); i++ {
		for j := i; j > 0 && id(v.Index(j)) < id(v.Index(j-1)); j-- {
			reflect.Swapper(v.Interface())(j, j-1)
		}
	}
}

func (n *normaliser) bytes(b []byte, field string) any {
	if field == "RecordBatches" {
		return n.records(b)
	}
	if utf8.Valid(b) {
		return string(b)
	}
	return fmt.Sprintf("% x", b)
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// timeRange is what a timestamp may be, counted from the broker's clock.
var timeRange = regexp.MustCompile(`within \[-?[0-9]+, -?[0-9]+\]`)

func (n *normaliser) text(s string) string {
	switch s {
	case n.run.clusterID:
		if s != "" {
			return "<cluster>"
		}
	case n.run.logDir:
		return "<log dir>"
	}
	s = strings.ReplaceAll(s, n.run.addr, "<addr>")
	s = timeRange.ReplaceAllString(s, "within <range>")
	return uuidText.ReplaceAllStringFunc(s, func(id string) string { return n.name("uuid", id) })
}

func (n *normaliser) number(i int64, owner, field string) any {
	switch field {
	case "Port":
		if i == n.run.port {
			return "<port>"
		}
	case "LogAppendTime", "Timestamp", "LastTimestamp", "StartTimestamp":
		if n.isNow(i) {
			return "<now>"
		}
	case "ProducerID", "ProducerIDStart":
		if i >= 0 && i < customProducerID {
			return n.name("producer", fmt.Sprint(i))
		}
	case "SessionID":
		if i != 0 {
			return n.name("session", fmt.Sprint(i))
		}
	case "TotalBytes", "UsableBytes":
		if i > 0 {
			return "<bytes>"
		}
	}
	return i
}

// isNow tells a time of the broker's clock from one that a case gave its records.
func (n *normaliser) isNow(ms int64) bool {
	d := time.Since(time.UnixMilli(ms))
	return d > -time.Hour && d < time.Hour
}
