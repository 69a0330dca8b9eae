package wire

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill sets every field of a struct to something random.
func fill(rng *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			if rng.IntN(6) == 0 {
				v.Addr().Interface().(*kmsg.Tags).Set(uint32(50+rng.IntN(300)), make([]byte, rng.IntN(200)))
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Version" || depth > 0 {
				fill(rng, v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		n := rng.IntN(4)
		if v.Type().Elem().Kind() == reflect.Uint8 {
			n = rng.IntN(300)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rng, v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(rng, v.Index(i), depth+1)
		}
	case reflect.Pointer:
		if rng.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rng, v.Elem(), depth+1)
		}
	case reflect.String:
		v.SetString(string(make([]byte, rng.IntN(150))))
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rng.Int64() >> (64 - v.Type().Bits()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(rng.Uint64() >> (64 - v.Type().Bits()))
	case reflect.Float64:
		v.SetFloat(rng.Float64())
	default:
		panic(v.Type())
	}
}

func randomRequest(rng *rand.Rand, key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	fill(rng, reflect.ValueOf(req).Elem(), 0)
	req.SetVersion(version)
	return req
}

// TestGuardTakesWhatKmsgWrites holds the guard's table equal to kmsg for every request and version that kmsg has.
func TestGuardTakesWhatKmsgWrites(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	seen := 0
	for key := range int16(maxKey) {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		for version := range req.MaxVersion() + 1 {
			seen++
			for range 20 {
				req := randomRequest(rng, key, version)
				body := appendRequestBody(nil, req)
				if err := CheckCounts(key, version, body); err != nil {
					t.Fatalf("%s v%d: %v", kmsg.NameForKey(key), version, err)
				}
				g := guard{left: 1 << 40}
				rest, err := g.run(programs[key][version].steps, body)
				if err != nil || len(rest) != 0 {
					t.Fatalf("%s v%d: %d bytes left, %v", kmsg.NameForKey(key), version, len(rest), err)
				}
				if n := len(body); n > 0 {
					if _, err := g.run(programs[key][version].steps, body[:rng.IntN(n)]); err == nil {
						t.Fatalf("%s v%d: a body cut short was accepted", kmsg.NameForKey(key), version)
					}
				}
			}
		}
	}
	if seen < 250 {
		t.Errorf("only %d versions", seen)
	}
}

func TestGuardRefusesHostileCounts(t *testing.T) {
	for _, tt := range []struct {
		name         string
		key, version int16
		body         []byte
		want         error
	}{
		{"metadata topics", 3, 1, append([]byte{0, 0xf0, 0, 0}, make([]byte, 1<<20)...), errGuardCount},
		{"metadata topics that are there", 3, 1, append([]byte{0, 8, 0, 0}, make([]byte, 1<<20)...), errGuardMemory},
		{"produce partitions", 0, 3, append([]byte{0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 't', 0x7f, 0xff, 0xff, 0xff}, make([]byte, 100)...), errGuardCount},
		{"tagged fields", 12, 4, []byte{2, 'g', 0, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, errTags},
		{"tagged fields inside a known one", 1, 15, append(make([]byte, 4+4+4+1+4+4), 1, 1, 1 /* topics, forgotten, rack */, 1, 1, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), errTags},
		{"null string", 12, 0, []byte{0xff, 0xff, 0, 0, 0, 0, 0, 0}, errGuardNull},
		{"unknown version", 12, 31, nil, nil},
		{"impossible version", 12, -1, nil, errUnknownLayout},
		{"unknown key", 127, 0, nil, errUnknownLayout},
	} {
		err := CheckCounts(tt.key, tt.version, tt.body)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestGuardDoesNotAllocate(t *testing.T) {
	req := kmsg.NewPtrFetchRequest()
	req.Version = 12
	req.Topics = []kmsg.FetchRequestTopic{{Topic: "topic", Partitions: make([]kmsg.FetchRequestTopicPartition, 10)}}
	body := req.AppendTo(nil)
	if n := testing.AllocsPerRun(100, func() {
		if err := CheckCounts(1, 12, body); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzGuard decodes what the guard accepts with kmsg, which must not take more memory than the guard allows.
func FuzzGuard(f *testing.F) {
	rng := rand.New(rand.NewPCG(9, 9))
	for key := range int16(70) {
		if req := kmsg.RequestForKey(key); req != nil {
			f.Add(key, req.MaxVersion(), appendRequestBody(nil, randomRequest(rng, key, req.MaxVersion())))
			f.Add(key, int16(0), appendRequestBody(nil, randomRequest(rng, key, 0)))
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		req := kmsg.RequestForKey(key)
		if req == nil || version < 0 || version > req.MaxVersion() || len(body) > 1<<16 {
			return
		}
		if CheckCounts(key, version, body) != nil {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = ReadRequest(key, version, body, true)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > decodedBase+3*decodedRatio*uint64(len(body))+1<<20 {
			t.Errorf("%d bytes decoded to %d", len(body), got)
		}
	})
}

func FuzzRequestHeader(f *testing.F) {
	f.Add(frameOf(heartbeat("g"), 3)[4:])
	f.Add([]byte{0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 0})
	f.Add([]byte{0, 7, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, body, err := ParseRequestHeader(frame)
		if err != nil {
			return
		}
		if len(body) > len(frame)-minHeader || len(h.ClientID) > len(frame) {
			t.Fatal("body or client id from nowhere")
		}
	})
}

func TestStopReplicaFieldOrder(t *testing.T) {
	req := kmsg.NewPtrStopReplicaRequest()
	req.Version, req.ControllerID, req.ControllerEpoch, req.IsKRaftController, req.BrokerEpoch = 4, 3, 0x01020304, true, 77
	body := appendRequestBody(nil, req)
	if want := []byte{0, 0, 0, 3, 1, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 77}; string(body[:len(want)]) != string(want) {
		t.Errorf("encoded %x, want %x", body[:len(want)], want)
	}
	got, err := ReadRequest(5, 4, body, false)
	if err != nil || !reflect.DeepEqual(got, req) && got.(*kmsg.StopReplicaRequest).ControllerEpoch != req.ControllerEpoch {
		t.Errorf("decoded %+v, %v", got, err)
	}
}
