package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Dir returns a directory for servers that is removed after the test, unless HARNESS_KEEP is set. It is not
// testing.TB's: names of tests go into that one, and a comma in log.dirs separates directories.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ottla-harness-")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("HARNESS_KEEP") != "" {
		t.Logf("servers keep their files in %s", dir)
	} else {
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	return dir
}

// NewBroker starts a broker for the length of a test, of the kind that BROKER names when cfg leaves it open. The test
// is skipped when the program is not installed; the broker's last output is shown when the test fails.
func NewBroker(t testing.TB, cfg Config) *Broker {
	t.Helper()
	if cfg.Kind == "" {
		kind, err := KindFromEnv()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Kind = kind
	}
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(Dir(t), fmt.Sprintf("broker-%d", cfg.ID))
	}
	b, err := StartBroker(cfg)
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("last output of broker %d:\n%s", b.ID, b.Tail(40))
		}
		if err := b.Close(); err != nil {
			t.Errorf("close broker %d: %v", b.ID, err)
		}
	})
	return b
}

// NewZooKeeper starts a ZooKeeper server for the length of a test; the test is skipped when none is installed.
func NewZooKeeper(t testing.TB) *ZooKeeper {
	t.Helper()
	z, err := StartZooKeeper(filepath.Join(Dir(t), "zookeeper"))
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if z.proc.alive() {
			if err := z.Kill(); err != nil {
				t.Error(err)
			}
		}
	})
	return z
}

var bootstrap string

// Main is the TestMain of packages whose tests talk to one broker: it provides the one that Bootstrap returns.
func Main(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	bootstrap = os.Getenv("BOOTSTRAP")
	if bootstrap != "" {
		return m.Run()
	}
	kind, err := KindFromEnv()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	dir, err := os.MkdirTemp("", "ottla-compat-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if os.Getenv("HARNESS_KEEP") == "" {
		defer os.RemoveAll(dir)
	}
	b, err := StartBroker(Config{Kind: kind, Dir: dir, ID: 1})
	if errors.Is(err, ErrMissing) {
		fmt.Fprintf(os.Stderr, "no broker to test, every test is skipped: %v\n", err)
		return m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	bootstrap = b.Addr
	code := m.Run()
	if code != 0 {
		fmt.Fprintf(os.Stderr, "last output of the broker:\n%s\n", b.Tail(60))
	}
	if err := b.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// Bootstrap returns host:port of the broker under test. The test is skipped when there is none.
func Bootstrap(t testing.TB) string {
	t.Helper()
	if bootstrap == "" {
		t.Skip("no BOOTSTRAP and no broker installed")
	}
	return bootstrap
}
