package broker_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"ottla/zkmeta/zktest"
)

// zooKeeper is the server of all tests here, each in a chroot of its own; nil, and why, if there is none.
var (
	zooKeeper   *zktest.Server
	noZooKeeper error
)

func TestMain(m *testing.M) {
	var stop func()
	zooKeeper, stop, noZooKeeper = zktest.Shared()
	code := m.Run()
	stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
