package kcat

import (
	"fmt"
	"testing"
)

// Clients from before 0.10 cannot ask for ApiVersions and speak message format 0. librdkafka behaves like them when told
// that the broker is so old. (From 0.10 on it asks the broker; ../versions has those.)
func TestOldClients(t *testing.T) {
	old := func(version string) []string {
		return []string{"-X", "api.version.request=false", "-X", "broker.version.fallback=" + version}
	}
	for _, version := range []string{"0.8.0", "0.8.1", "0.8.2.2", "0.9.0.1"} {
		for _, codec := range []string{"none", "gzip", "snappy", "lz4"} {
			t.Run(fmt.Sprintf("a producer of %s, %s: a new consumer reads its records", version, codec), func(t *testing.T) {
				t.Parallel()
				tp, data := topic(t, 1), lines(500, 50)
				produce(t, tp, data, append(old(version), "-z", codec, "-k", "key")...)
				same(t, consume(t, tp), data)
				eqLines(t, consume(t, tp, "-c", "1", "-f", `%o %k\n`), "0 key")
			})
		}
	}
	for _, version := range []string{"0.8.0", "0.8.1", "0.8.2.2", "0.9.0.1"} {
		t.Run(fmt.Sprintf("a consumer of %s reads what new producers wrote with any codec", version), func(t *testing.T) {
			t.Parallel()
			tp, data := topic(t, 1), lines(500, 50)
			var want string
			for _, codec := range []string{"none", "gzip", "snappy", "lz4"} {
				produce(t, tp, data, "-z", codec, "-k", "key")
				want += data
			}
			same(t, consume(t, tp, old(version)...), want)
			eqLines(t, ok(t, "", append(old(version), "-C", "-t", tp, "-q", "-o", "700", "-c", "1", "-f", `%o %k\n`)...), "700 key")
		})
	}
	t.Run("a record of message format 0 has no timestamp", func(t *testing.T) {
		t.Parallel()
		tp := topic(t, 1)
		produce(t, tp, "v0\n", old("0.9.0.1")...)
		if e := consumeJSON(t, tp)[0]; e.Ts > 0 {
			t.Fatalf("timestamp %d", e.Ts)
		}
	})
	t.Run("a consumer group of 0.9 commits and continues", func(t *testing.T) {
		t.Parallel()
		tp, g := topic(t, 2), name()
		all := spread(t, tp, 2, 10, "v")
		args := append(old("0.9.0.1"), "-G", g, "-q", "-e", "-X", "auto.offset.reset=earliest", tp)
		sameUnordered(t, ok(t, "", args...), all)
		eq(t, "output", ok(t, "", args...), "")
	})
}
