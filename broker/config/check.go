package config

import (
	"fmt"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Check is a rule on the values of one key. The zero Check allows everything.
type Check[T value] struct {
	Allowed string // Kafka's short form: [1,...]
	Words   string // for people: at least 1
	// bad returns an empty reason for a good value, otherwise Kafka's reason and the value as Kafka's message shows it.
	bad func(name string, v T) (shown, reason string)
}

type number interface {
	int16 | int32 | int64 | float64
}

func text[T number](v T) string { return strings.TrimSuffix(format(any(v)), ".0") }

// AtLeast is ConfigDef.Range.atLeast.
func AtLeast[T number](low T) Check[T] { return limits(low, low, false) }

// Between is ConfigDef.Range.between; both bounds are allowed.
func Between[T number](low, high T) Check[T] { return limits(low, high, true) }

func limits[T number](low, high T, bounded bool) Check[T] {
	c := Check[T]{Allowed: "[" + text(low) + ",...]", Words: "at least " + text(low)}
	if bounded {
		c.Allowed = "[" + text(low) + ",...," + text(high) + "]"
		c.Words = text(low) + " to " + text(high)
	}
	c.bad = func(_ string, v T) (string, string) {
		if v < low {
			return format(any(v)), "Value must be at least " + text(low)
		}
		if bounded && v > high {
			return format(any(v)), "Value must be no more than " + text(high)
		}
		return "", ""
	}
	return c
}

// GzipLevel is the range of gzip levels with -1 for the library's default (GzipCompression.LevelValidator).
func GzipLevel() Check[int32] {
	return Check[int32]{Allowed: "[1,...,9] or -1", Words: "1 to 9, or -1 for the default level", bad: func(_ string, v int32) (string, string) {
		if v == -1 || v >= 1 && v <= 9 {
			return "", ""
		}
		return format(v), "Value must be between 1 and 9 or equal to -1"
	}}
}

// PositiveOrMinusOne allows -1 for a derived value.
func PositiveOrMinusOne() Check[int32] {
	return Check[int32]{Allowed: "-1 or [1,...]", Words: "at least 1, or -1 to derive it", bad: func(_ string, v int32) (string, string) {
		if v == -1 || v >= 1 {
			return "", ""
		}
		return format(v), "Value can be -1 or greater than 0"
	}}
}

// OneOf is ConfigDef.ValidString.
func OneOf(valid ...string) Check[string] {
	list := strings.Join(valid, ", ")
	return Check[string]{Allowed: "[" + list + "]", Words: "one of " + list, bad: func(_ string, v string) (string, string) {
		if slices.Contains(valid, v) {
			return "", ""
		}
		return v, "String must be one of: " + list
	}}
}

// OneOfFold is ConfigDef.CaseInsensitiveValidString.
func OneOfFold(valid ...string) Check[string] {
	list := strings.Join(valid, ", ")
	return Check[string]{Allowed: "(case insensitive) [" + list + "]", Words: "one of " + list + " in any case", bad: func(_ string, v string) (string, string) {
		for _, s := range valid {
			if strings.EqualFold(s, v) {
				return "", ""
			}
		}
		return v, "String must be one of (case insensitive): " + list
	}}
}

// EachOf is ConfigDef.ValidList: each item is one of valid. The empty list passes.
func EachOf(valid ...string) Check[[]string] {
	one := OneOf(valid...)
	return Check[[]string]{Allowed: one.Allowed, Words: "a list of " + strings.Join(valid, ", "), bad: func(name string, v []string) (string, string) {
		for _, item := range v {
			if shown, reason := one.bad(name, item); reason != "" {
				return shown, reason
			}
		}
		return "", ""
	}}
}

// NonEmpty is ConfigDef.NonEmptyString.
func NonEmpty() Check[string] {
	return Check[string]{Allowed: "non-empty string", Words: "not empty", bad: func(_ string, v string) (string, string) {
		if v == "" {
			return v, "String must be non-empty"
		}
		return "", ""
	}}
}

// KnownVersion allows the names of Kafka's metadata versions (MetadataVersionValidator) without those that were never released.
func KnownVersion() Check[string] {
	return Check[string]{Allowed: "0.8.0 .. 3.9-IV0", Words: "a Kafka version from 0.8.0 to 3.9, such as 3.9 or 3.9-IV0", bad: func(_ string, v string) (string, string) {
		if slices.Contains(unreleasedVersions, v) {
			return v, "Version " + v + " was never released"
		}
		if !validVersion(v) {
			return v, "Version " + v + " is not a valid version"
		}
		return "", ""
	}}
}

// KnownClass allows the built-in Java names that stand for something here; plug-ins in Java cannot be loaded.
func KnownClass(names ...string) Check[string] {
	words := "no class: Java plug-ins cannot be loaded"
	if len(names) > 0 {
		words = "one of " + strings.Join(names, ", ") + ": other Java classes cannot be loaded"
	}
	return Check[string]{Allowed: "[" + strings.Join(names, ", ") + "]", Words: words, bad: func(_ string, v string) (string, string) {
		if slices.Contains(names, v) {
			return "", ""
		}
		return v, "Class " + v + " could not be found."
	}}
}

var throttledReplica = regexp.MustCompile(`^[0-9]+:[0-9]+$`)

// ThrottledReplicas is ThrottledReplicaListValidator (KIP-73).
func ThrottledReplicas() Check[[]string] {
	const form = "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
	return Check[[]string]{Allowed: form, Words: "* or a list of partition:broker", bad: func(name string, v []string) (string, string) {
		if len(v) == 1 && v[0] == "*" || !slices.ContainsFunc(v, func(s string) bool { return !throttledReplica.MatchString(s) }) {
			return "", ""
		}
		return "[" + strings.Join(v, ", ") + "]", name + " must be the literal '*' or a list of replicas in the following format: " + form
	}}
}

// Addresses allows a list of host:port, with an id before it ("1@host:port") if withID.
func Addresses(withID bool) Check[[]string] {
	form := "host:port"
	if withID {
		form = "id@host:port"
	}
	return Check[[]string]{Allowed: "list of " + form, Words: "a list of " + form, bad: func(_ string, v []string) (string, string) {
		for _, item := range v {
			rest := item
			if withID {
				id, after, found := strings.Cut(item, "@")
				if n, err := strconv.Atoi(id); !found || err != nil || n < 0 {
					return item, "Each entry should be in the form " + form
				}
				rest = after
			}
			host, port, err := net.SplitHostPort(rest)
			if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || host == "" || n < 0 || n > math.MaxUint16 {
				return item, "Each entry should be in the form " + form
			}
		}
		return "", ""
	}}
}

// Only allows the listed values of a list and says why others are refused.
func Only(why string, valid ...string) Check[[]string] {
	return Check[[]string]{Allowed: "[" + strings.Join(valid, ", ") + "]", Words: "only " + strings.Join(valid, ", "), bad: func(_ string, v []string) (string, string) {
		for _, item := range v {
			if !slices.Contains(valid, item) {
				return item, why
			}
		}
		return "", ""
	}}
}

// also adds a second rule to a first; the words and the short form stay those of the first.
func also[T value](a, b Check[T]) Check[T] {
	c := a
	c.bad = func(name string, v T) (string, string) {
		if shown, reason := a.bad(name, v); reason != "" {
			return shown, reason
		}
		return b.bad(name, v)
	}
	return c
}

// KnownAssignors allows the assignors of the consumer group protocol, by name or by Kafka's class.
func KnownAssignors() Check[[]string] {
	const class = "org.apache.kafka.coordinator.group.assignor."
	valid := []string{"uniform", "range", class + "UniformAssignor", class + "RangeAssignor"}
	return Check[[]string]{Words: "a list of uniform and range, or of Kafka's classes", bad: func(_ string, v []string) (string, string) {
		if len(v) == 0 {
			return "", "must name an assignor"
		}
		for _, item := range v {
			if !slices.Contains(valid, item) {
				return item, "there are the assignors uniform and range"
			}
		}
		return "", ""
	}}
}

// KnownCodecs allows the codec ids of record batches.
func KnownCodecs() Check[int32] {
	return Check[int32]{Allowed: "[0,...,4]", Words: "0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd", bad: func(_ string, v int32) (string, string) {
		if v < 0 || v > 4 {
			return format(v), fmt.Sprintf("Unknown compression type id: %d", v)
		}
		return "", ""
	}}
}
