package embedded

import (
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"ottla/zkmeta"
	"ottla/zkmeta/zktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// suiteTree is a store for zktest.
type suiteTree struct{ store *Store }

func (s suiteTree) Connect(t testing.TB) zkmeta.Session {
	t.Helper()
	c, err := s.store.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s suiteTree) ConnectShort(t testing.TB) zkmeta.Session { return s.Connect(t) }
func (s suiteTree) Expire(_ testing.TB, c zkmeta.Session)    { s.store.Expire(c.ID()) }

func openTest(t testing.TB, cfg Config) *Store {
	t.Helper()
	cfg.Log = zerolog.New(zerolog.NewTestWriter(t))
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSuiteInMemory(t *testing.T) {
	zktest.Run(t, func(t *testing.T) zktest.Tree { return suiteTree{openTest(t, Config{})} })
}

func TestSuiteOnDisk(t *testing.T) {
	zktest.Run(t, func(t *testing.T) zktest.Tree {
		return suiteTree{openTest(t, Config{Path: filepath.Join(t.TempDir(), "meta.db")})}
	})
}
