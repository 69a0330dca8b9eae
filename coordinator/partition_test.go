package coordinator

import "testing"

// The hashes are what Java's String.hashCode gives.
func TestPartitionForHashesAsJava(t *testing.T) {
	for _, c := range []struct {
		key  string
		n    int32
		hash int32
		want int32
	}{
		{"", 50, 0, 0},
		{"a", 50, 97, 47},
		{"group-one", 4, 0, 0}, // as in the data directory written by Kafka
		{"group-two", 4, 0, 2},
		{"group-admin", 4, 0, 3},
		{"group-gone", 4, 0, 1},
		{"polygenelubricants", 50, -2147483648, 0}, // Integer.MIN_VALUE counts as 0
		{"\U0001F600", 50, 1772899, 49},            // a surrogate pair
		{"ü", 50, 252, 2},
		{"x", 0, 120, -1},
	} {
		if c.hash != 0 {
			if got := javaHash(c.key); got != c.hash {
				t.Errorf("hash of %q is %d, want %d", c.key, got, c.hash)
			}
		}
		if got := PartitionFor(c.key, c.n); got != c.want {
			t.Errorf("PartitionFor(%q, %d) = %d, want %d", c.key, c.n, got, c.want)
		}
	}
}
