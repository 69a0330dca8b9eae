package logging

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestLevelsChangeAtRunTime(t *testing.T) {
	var out bytes.Buffer
	l := New(&out, false, zerolog.InfoLevel)
	storage, wire := l.Logger("storage"), l.Logger("wire")
	child := storage.With().Str("topic", "t").Logger()
	lines := func() int {
		n := strings.Count(out.String(), "\n")
		out.Reset()
		return n
	}
	child.Debug().Msg("hidden")
	if n := lines(); n != 0 {
		t.Fatalf("%d lines below the level", n)
	}
	if err := l.Set("storage", "debug"); err != nil {
		t.Fatal(err)
	}
	child.Debug().Msg("seen")
	wire.Debug().Msg("hidden")
	if n := lines(); n != 1 {
		t.Fatalf("%d lines, want the one of storage", n)
	}
	if err := l.Set(Root, "ERROR"); err != nil {
		t.Fatal(err)
	}
	storage.Debug().Msg("seen")
	wire.Warn().Msg("hidden")
	if n := lines(); n != 1 {
		t.Fatalf("%d lines, want storage to keep its own level", n)
	}
	if err := l.Unset("storage"); err != nil {
		t.Fatal(err)
	}
	storage.Warn().Msg("hidden")
	if n := lines(); n != 0 {
		t.Fatal("storage does not follow root again")
	}
	if got := l.All(); got["storage"] != "ERROR" || got[Root] != "ERROR" {
		t.Errorf("levels are %v", got)
	}
}

func TestSetRefuses(t *testing.T) {
	l := New(&bytes.Buffer{}, false, zerolog.InfoLevel)
	for _, tt := range []struct{ name, level string }{{"nope", "INFO"}, {Root, "loud"}} {
		if err := l.Set(tt.name, tt.level); err == nil {
			t.Errorf("Set(%q, %q) gives no error", tt.name, tt.level)
		}
	}
	if err := l.Unset(Root); err == nil {
		t.Error("Unset(root) gives no error")
	}
}
