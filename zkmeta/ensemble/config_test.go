package ensemble

import (
	"slices"
	"testing"
)

func TestParseConnect(t *testing.T) {
	for _, test := range []struct {
		connect string
		servers []string
		chroot  string
		bad     bool
	}{
		{"localhost:2181", []string{"localhost:2181"}, "", false},
		{"a:1,b:2,c:3/kafka", []string{"a:1", "b:2", "c:3"}, "/kafka", false},
		{" a:1 , b:2 /x/y/", []string{"a:1", "b:2"}, "/x/y", false},
		{"a,b:2181", []string{"a:2181", "b:2181"}, "", false},
		{"a:1/", []string{"a:1"}, "", false},
		{"[::1]:2181,10.0.0.1/k", []string{"[::1]:2181", "10.0.0.1:2181"}, "/k", false},
		{"::1", []string{"[::1]:2181"}, "", false},
		{"", nil, "", true}, {"/kafka", nil, "", true}, {"a:1//x", nil, "", true}, {"a:1/../x", nil, "", true},
		{":2181", nil, "", true}, {"a:b:c", nil, "", true}, {"a:", nil, "", true},
	} {
		servers, chroot, err := ParseConnect(test.connect)
		if (err != nil) != test.bad || !slices.Equal(servers, test.servers) && !test.bad || chroot != test.chroot && !test.bad {
			t.Errorf("%q: %q %q %v", test.connect, servers, chroot, err)
		}
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	for _, cfg := range []Config{{}, {Servers: []string{":1"}}, {Servers: []string{"a:1"}, Chroot: "x"}, {Servers: []string{"a:1"}, Chroot: "/x/"}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

func TestHostsWaitAfterARound(t *testing.T) {
	h := &hosts{}
	if err := h.Init([]string{"a", "b", "c"}); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for i := range 9 {
		server, wait := h.Next()
		seen[server] = true
		if want := i > 0 && i%3 == 0; wait != want {
			t.Errorf("attempt %d: wait is %v", i, wait)
		}
	}
	if len(seen) != 3 || h.Len() != 3 {
		t.Errorf("servers tried: %v", seen)
	}
	h.Connected()
	h.connected = h.connected.Add(-2 * flapping)
	if _, wait := h.Next(); wait {
		t.Error("the first attempt after a good connection waits")
	}
}
