package api

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestTopicNames(t *testing.T) {
	for _, tt := range []struct{ name, message string }{
		{"a", ""},
		{"A.b_c-9", ""},
		{strings.Repeat("x", 249), ""},
		{"", "Topic name is invalid: the empty string is not allowed"},
		{".", "Topic name is invalid: '.' is not allowed"},
		{"..", "Topic name is invalid: '..' is not allowed"},
		{"bad name", "Topic name is invalid: 'bad name' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{"ä", "Topic name is invalid: 'ä' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{strings.Repeat("x", 250), "Topic name is invalid: the length of '" + strings.Repeat("x", 250) + "' is longer than the max allowed length 249"},
	} {
		err := checkTopicName(tt.name)
		if tt.message == "" {
			if err != nil {
				t.Errorf("%q: %v", tt.name, err)
			}
			continue
		}
		if !errors.Is(err, kerr.InvalidTopicException) || err.Error() != tt.message {
			t.Errorf("%q: %v", tt.name, err)
		}
	}
}

func TestCollisions(t *testing.T) {
	known := map[string]int{"co.ll": 1, "a.b.c": 1, "plain": 1, "co-ll": 1}
	for _, tt := range []struct{ name, want string }{
		{"co_ll", "co.ll"}, {"a_b.c", "a.b.c"}, {"plain", ""}, {"co.ll", ""}, {"co.lll", ""},
	} {
		if got := strings.Join(collisions(tt.name, known), ","); got != tt.want {
			t.Errorf("%s collides with %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestCheckAssignment(t *testing.T) {
	for _, tt := range []struct {
		name    string
		given   map[int32][]int32
		message string
	}{
		{"even", map[int32][]int32{0: {1, 2}, 1: {2, 1}}, ""},
		{"uneven", map[int32][]int32{0: {1, 2}, 1: {2}}, "All partitions should have the same number of replicas"},
		{"duplicate", map[int32][]int32{0: {1, 1}}, "Duplicate replica assignment found: HashMap(0 -> ArrayBuffer(1, 1))"},
		{"gap", map[int32][]int32{0: {1}, 2: {1}}, "partitions should be a consecutive 0-based integer sequence"},
		{"empty", map[int32][]int32{0: {}}, "Replication factor must be larger than 0."},
	} {
		err := checkAssignment(tt.given)
		if got := text(err); got != tt.message {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.message)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
