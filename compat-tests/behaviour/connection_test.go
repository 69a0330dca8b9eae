package behaviour

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// quiet is how long silence must last to be an answer.
const quiet = 1500 * time.Millisecond

// connectionCases are what a connection carries that is no decodable request, and the order of answers.
func connectionCases() []scenario {
	be32 := binary.BigEndian.AppendUint32
	raw := func(name string, payload func() []byte) scenario {
		limit := answerLimit
		if strings.HasPrefix(name, "half") {
			limit = quiet
		}
		return scenario{name: "connection/" + name, do: func(e *env) { e.rawAnswer("raw", payload(), limit) }}
	}
	request := func(key, version int16, flexible bool, body ...byte) func() []byte {
		return func() []byte { return frame(append(header(key, version, 7, &clientID, flexible), body...)) }
	}
	cases := []scenario{
		raw("http request", func() []byte { return []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") }),
		raw("tls client hello", func() []byte {
			return append([]byte{0x16, 0x03, 0x01, 0x00, 0x20, 0x01, 0x00, 0x00, 0x1c, 0x03, 0x03}, make([]byte, 64)...)
		}),
		raw("negative size", func() []byte { return be32(nil, 0xffffffff) }),
		raw("zero size", func() []byte { return be32(nil, 0) }),
		raw("size of one byte", func() []byte { return []byte{0, 0, 0, 1, 9} }),
		raw("size above the limit", func() []byte { return be32(nil, 100<<20+1) }),
		raw("largest size", func() []byte { return be32(nil, 0x7fffffff) }),
		raw("half a size", func() []byte { return []byte{0, 0} }),
		raw("half a frame", func() []byte { return request(18, 0, false)()[:10] }),
		raw("header without client id", func() []byte { return frame([]byte{0, 18, 0, 0, 0, 0, 0, 7}) }),
		raw("client id longer than the frame", func() []byte { return frame([]byte{0, 18, 0, 0, 0, 0, 0, 7, 0x7f, 0xff, 'a'}) }),
		raw("negative client id length", func() []byte { return frame([]byte{0, 18, 0, 0, 0, 0, 0, 7, 0x80, 0x00}) }),
		raw("null client id", func() []byte { return frame(header(18, 0, 7, nil, false)) }),
		raw("header without tags", func() []byte { return frame(header(18, 3, 7, &clientID, false)) }),
		raw("header with many tags announced", request(18, 3, false, 0xff, 0xff, 0xff, 0xff, 0x07)),
		raw("header with a tag", func() []byte {
			b := header(18, 3, 7, &clientID, false)
			b = append(b, 1, 9, 3, 'x', 'y', 'z')      // one tag, number 9, three bytes
			return frame(append(b, 2, 'a', 2, 'b', 0)) // software name and version
		}),
		raw("body with an unknown tag", request(18, 3, true, 2, 'a', 2, 'b', 1, 99, 2, 1, 2)),
		raw("unknown key", request(999, 0, false)),
		raw("negative key", request(-1, 0, false)),
		raw("key of raft", request(52, 0, true)),
		raw("key of telemetry", request(71, 0, true)),
		raw("negative version", request(3, -1, false)),
		raw("ApiVersions v99", request(18, 99, true)),
		raw("ApiVersions v99 with an old header", request(18, 99, false)),
		raw("ApiVersions v5 with a body", request(18, 5, true, 2, 'a', 2, 'b', 0)),
		raw("ApiVersions v-1", request(18, -1, false)),
		raw("empty body", request(3, 1, false)),
		raw("bytes after the body", request(18, 0, false, 1, 2, 3)),
		raw("bytes after the body of Metadata", request(3, 1, false, 0, 0, 0, 0, 1, 2, 3)),
		raw("negative array length", request(3, 1, false, 0xff, 0xff, 0xff, 0xfe)),
		raw("huge array length", request(3, 1, false, 0x7f, 0xff, 0xff, 0xff)),
		raw("huge compact array length", request(3, 9, true, 0xff, 0xff, 0xff, 0xff, 0x0f)),
		raw("null for an array that must not be", request(20, 1, false, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)),
		raw("string longer than the body", request(3, 1, false, 0, 0, 0, 1, 0x7f, 0xff, 'a')),
		raw("null for a string that must not be", request(12, 0, false, 0xff, 0xff, 0, 0, 0, 0, 0, 1, 'm')),
		raw("SaslHandshake without SASL", func() []byte {
			return frame(append(header(17, 1, 7, &clientID, false), 0, 5, 'P', 'L', 'A', 'I', 'N'))
		}),
		{name: "connection/order of answers", do: func(e *env) {
			c := e.conn()
			topic := e.topic("", 1)
			slow := fetchRequest(e, 11, topic, 0)
			slow.MaxWaitMillis, slow.MinBytes = 600, 1
			fast := kmsg.NewPtrApiVersionsRequest()
			slow.SetVersion(11)
			start := time.Now()
			if err := c.send(slow, &clientID); err != nil {
				e.fail(err)
			}
			first := c.correlation
			if err := c.send(fast, &clientID); err != nil {
				e.fail(err)
			}
			for range 2 {
				b, err := c.payload(answerLimit)
				if err != nil {
					e.fail(err)
				}
				e.record("answer", fmt.Sprintf("request %d, after the wait %v", int32(binary.BigEndian.Uint32(b))-first, time.Since(start) > 500*time.Millisecond))
			}
		}},
		{name: "connection/requests in one segment", do: func(e *env) {
			var b []byte
			for i := range 5 {
				b = append(b, frame(header(18, 0, int32(i), &clientID, false))...)
			}
			if err := e.conn().write(b); err != nil {
				e.fail(err)
			}
			for range 5 {
				b, err := e.conn().payload(answerLimit)
				if err != nil {
					e.fail(err)
				}
				e.record("correlation id", binary.BigEndian.Uint32(b))
			}
		}},
		{name: "connection/request byte by byte", do: func(e *env) {
			for _, b := range frame(header(18, 99, 3, &clientID, true)) {
				if err := e.conn().write([]byte{b}); err != nil {
					e.fail(err)
				}
			}
			e.rawAnswer("answer", nil, answerLimit)
		}},
		{name: "connection/long client id", do: func(e *env) {
			long := strings.Repeat("x", 32000)
			e.rawAnswer("raw", frame(header(18, 99, 3, &long, true)), answerLimit)
		}},
	}
	// Every key answers above its highest version by closing the connection.
	for key, highest := range highestVersions {
		cases = append(cases, raw(fmt.Sprintf("%s v%d", kmsg.NameForKey(key), highest+1), request(key, highest+1, true)))
	}
	return append(cases, apiVersionsCases()...)
}

// highestVersions of the keys that Ottla serves in Kafka 3.9.2.
var highestVersions = map[int16]int16{
	0: 11, 1: 17, 2: 9, 3: 12, 4: 7, 5: 4, 6: 8, 7: 3, 8: 9, 9: 9, 10: 6, 11: 9, 12: 4, 13: 5, 14: 5, 15: 5, 16: 5, 19: 7, 20: 6, 21: 2,
	22: 5, 23: 4, 32: 4, 33: 2, 35: 4, 37: 3, 42: 2, 43: 2, 44: 1, 45: 0, 46: 0, 47: 0, 56: 3, 60: 1, 61: 0, 67: 0,
}

// rawAnswer writes bytes and records what comes back: bytes in hexadecimal, or nothing.
func (e *env) rawAnswer(label string, b []byte, limit time.Duration) {
	c := e.conn()
	if err := c.write(b); err != nil {
		e.recordAnswer(label, nil, err)
		return
	}
	answer, err := c.payload(limit)
	switch {
	case err != nil:
		e.recordAnswer(label, nil, err)
	case len(answer) > 30: // ports and sizes of a table: these cases ask whether there is an answer
		e.record(label, "a long answer")
	default:
		e.record(label, fmt.Sprintf("% x", answer))
	}
}

// apiVersionsCases compare names and codes; the table itself differs, since not every key of Kafka is served.
func apiVersionsCases() []scenario {
	var cases []scenario
	for v := range int16(5) {
		cases = append(cases, scenario{name: fmt.Sprintf("api versions/v%d", v), do: func(e *env) {
			req := kmsg.NewPtrApiVersionsRequest()
			req.ClientSoftwareName, req.ClientSoftwareVersion = "be-haviour.x", "1.0.0-a"
			e.apiVersions("ask", v, req)
		}})
	}
	for _, tt := range []struct{ name, software, version string }{
		{"empty name", "", "1"}, {"empty version", "a", ""}, {"space in name", "a b", "1"}, {"name ends in a dot", "a.", "1"},
		{"version begins with a dash", "a", "-1"}, {"not ASCII", "é", "1"}, {"one letter", "a", "1"}, {"underscore", "a_b", "1"},
	} {
		cases = append(cases, scenario{name: "api versions/" + tt.name, do: func(e *env) {
			req := kmsg.NewPtrApiVersionsRequest()
			req.ClientSoftwareName, req.ClientSoftwareVersion = tt.software, tt.version
			e.apiVersions("ask", 3, req)
			e.apiVersions("the connection stays", 0, kmsg.NewPtrApiVersionsRequest())
		}})
	}
	return cases
}

// apiVersions leaves out the keys that Ottla does not serve, and the order of the keys.
func (e *env) apiVersions(label string, version int16, req *kmsg.ApiVersionsRequest) {
	resp, err := e.exchange(e.conn(), version, req, answerLimit)
	if err == nil {
		r := resp.(*kmsg.ApiVersionsResponse)
		served := make([]kmsg.ApiVersionsResponseApiKey, 0, len(highestVersions))
		for key := range int16(100) {
			for _, k := range r.ApiKeys {
				if _, ok := highestVersions[key]; ok && k.ApiKey == key {
					served = append(served, k)
				}
			}
		}
		r.ApiKeys = served
	}
	e.recordAnswer(label, resp, err)
}
