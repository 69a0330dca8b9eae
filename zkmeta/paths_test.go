package zkmeta

import (
	"slices"
	"testing"
)

func TestEntityNames(t *testing.T) {
	// Right: what Kafka's Sanitizer makes of the left.
	for plain, encoded := range map[string]string{
		"alice": "alice", "User:alice": "User%3Aalice", "a b": "a%20b", "a*b": "a%2Ab", "a~b": "a~b", "a+b": "a%2Bb",
		"a/b": "a%2Fb", "CN=x,O=y": "CN%3Dx%2CO%3Dy", "ä€": "%C3%A4%E2%82%AC", "a.b-c_d": "a.b-c_d", "100%": "100%25",
		"<default>": "%3Cdefault%3E", "": "",
	} {
		if got := EncodeEntity(plain); got != encoded {
			t.Errorf("%q encodes to %q, want %q", plain, got, encoded)
		}
		if got, err := DecodeEntity(encoded); err != nil || got != plain {
			t.Errorf("%q decodes to %q, %v", encoded, got, err)
		}
	}
	for _, bad := range []string{"%", "%2", "a%zzb", "%+1"} {
		if got, err := DecodeEntity(bad); err == nil {
			t.Errorf("%q decodes to %q", bad, got)
		}
	}
}

func FuzzEntityNames(f *testing.F) {
	f.Add("User:alice")
	f.Add("%C3%A4+")
	f.Fuzz(func(t *testing.T, s string) {
		if back, err := DecodeEntity(EncodeEntity(s)); err != nil || back != s {
			t.Errorf("%q came back as %q, %v", s, back, err)
		}
		_, _ = DecodeEntity(s)
		_ = ValidatePath("/"+EncodeEntity(s), false)
	})
}

func TestPaths(t *testing.T) {
	for got, want := range map[string]string{
		Broker(3): "/brokers/ids/3", Topic("t"): "/brokers/topics/t",
		TopicPartitionState("t", 12):       "/brokers/topics/t/partitions/12/state",
		Config(ConfigUsers, "a/clients/b"): "/config/users/a/clients/b",
		ConsumerOffset("g", "t", 0):        "/consumers/g/offsets/t/0",
		Parent("/a/b"):                     "/a", Parent("/a"): "/", Parent("/"): "",
		LiteralACL("Topic", "t"): "/kafka-acl/Topic/t", PrefixedACL("Group", "g"): "/kafka-acl-extended/prefixed/Group/g",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if n, ok := SequenceNumber("config_change_0000000012", ConfigChangePrefix); !ok || n != 12 {
		t.Errorf("number is %d, %v", n, ok)
	}
	for _, bad := range []string{"config_change_", "config_change_x", "x_1"} {
		if _, ok := SequenceNumber(bad, ConfigChangePrefix); ok {
			t.Errorf("%s has a number", bad)
		}
	}
}

func TestDefaultACL(t *testing.T) {
	creator, readable := ACL{PermAll, "auth", ""}, ACL{PermRead, "world", "anyone"}
	for path, want := range map[string][]ACL{
		"/brokers/ids/1": {creator, readable}, "/config/users/alice": {creator}, "/config/brokers/1": {creator},
		"/config/users": {creator}, "/delegation_token/tokens/x": {creator}, "/config/topics/t": {creator, readable},
		"/consumers": OpenACL(), "/kafka-acl/Topic/t": {creator, readable},
	} {
		if got := DefaultACL(path, true); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
		if got := DefaultACL(path, false); !slices.Equal(got, OpenACL()) {
			t.Errorf("%s without security: %v", path, got)
		}
	}
}

func TestTopicIDs(t *testing.T) {
	id, err := DecodeTopicID("mbLorFvNRluQSQCsTDk3sQ")
	if err != nil || EncodeTopicID(id) != "mbLorFvNRluQSQCsTDk3sQ" {
		t.Errorf("%x, %v", id, err)
	}
	for range 1000 {
		if text := EncodeTopicID(NewUUID()); text[0] == '-' || len(text) != 22 {
			t.Fatalf("new id %s", text)
		}
	}
}
